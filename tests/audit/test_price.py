from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from works import CATALOG, request

from stepdown.audit.price import Prices
from stepdown.catalog import Model
from stepdown.units import Tokens


@dataclass
class Case:
    said: dict[str, object]
    usd: float | None


def test_every_kind_of_token_has_its_price() -> None:
    opus = request(input=1_000_000, output=1_000_000, cache_read=1_000_000, cache_write=1_000_000)
    assert Prices(CATALOG).cost(opus) == pytest.approx(5 + 25 + 0.5 + 6.25)


@pytest.mark.parametrize(
    "case",
    [
        Case({"cache_write": 1_000_000, "written_1h": 1_000_000}, 10.0),
        Case({"cache_write": 1_000_000, "written_1h": 400_000}, 0.6 * 6.25 + 0.4 * 10),
        Case({"searches": 3}, 0.03),
        Case({"output": 1_000_000, "variant": "us"}, 27.5),
        Case({"output": 1_000_000, "variant": "fast"}, None),
        Case({"output": 1_000_000, "variant": "fast", "usd": 90.0}, 90.0),
        Case({"output": 1_000_000, "model": "our-own-model"}, None),
        Case({"output": 1_000_000, "model": "our-own-model", "usd": 0.5}, 0.5),
        Case({"output": 1_000_000, "model": ""}, None),
        Case({"output": 1_000_000, "usd": 3.0}, 25.0),  # what the agent says is for the check, not for the bill
    ],
    ids=lambda case: str(case.said),
)
def test_what_has_a_price_of_its_own(case: Case) -> None:
    said = {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0, **case.said}
    assert Prices(CATALOG).cost(request(**said)) == (None if case.usd is None else pytest.approx(case.usd))


def test_prices_are_those_of_the_day() -> None:
    long = {"input": 300_000, "output": 0, "cache_read": 0, "cache_write": 0}
    february = request(at=1_770_000_000.0, **long)  # Opus 4.6 had a dearer rate beyond 200,000 tokens until 13 March 2026
    prices = Prices(CATALOG)
    assert [prices.cost(february), prices.cost(request(**long))] == [pytest.approx(3.0), pytest.approx(1.5)]


def test_a_sum_of_requests_is_not_billed_as_one_long_prompt() -> None:
    many = request(at=1_770_000_000.0, input=3_000_000, output=0, cache_read=0, cache_write=0)
    for count, usd in ((30, 15.0), (0, 15.0), (1, 30.0)):
        assert Prices(CATALOG).cost(msgspec.structs.replace(many, count=count)) == pytest.approx(usd)


@given(
    st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from(CATALOG.models)
)
def test_the_bill_is_the_catalogues_for_every_model(fresh: int, output: int, read: int, write: int, model: Model) -> None:
    used = {"input": fresh, "output": output, "cache_read": read, "cache_write": write}
    expected = model.cost(Tokens(**used), longest_prompt=fresh + read + write)
    found = Prices(CATALOG).cost(request(model=model.id, provider=model.provider, **used))
    assert found == (None if expected is None else pytest.approx(expected))
