from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from works import CATALOG, HAIKU, OPUS, SONNET, START, growing, history, request, turn

from stepdown.audit.compose import compose
from stepdown.audit.history import gather
from stepdown.audit.price import Prices
from stepdown.audit.projection import Projector
from stepdown.audit.records import Audit, Line
from stepdown.policy import DEFAULT_POLICY
from stepdown.preferences import Preferences
from stepdown.preferences.schema import DynamicRouting
from stepdown.routing import Router
from stepdown.sessions.records import Log, Request, Turn
from stepdown.units import Tokens

ROUTER = Router(Preferences(dynamic_routing=DynamicRouting(enabled=True)), CATALOG)
PRICES = Prices(CATALOG)


def audit(turns: Sequence[Turn], requests: Sequence[Request], hours: float = 0.0, agent: str = "claude") -> Audit:
    past = history(turns, requests, agent)
    zone = timezone(timedelta(hours=hours))

    def day_of(at: float) -> str:
        return datetime.fromtimestamp(at, zone).date().isoformat()

    return compose(past, PRICES, Projector(ROUTER, PRICES, past), DEFAULT_POLICY, day_of)


def keys(lines: Sequence[Line]) -> list[str]:
    return [line.key for line in lines]


def test_nothing_is_nothing() -> None:
    found = audit([], [])
    assert (found.first, found.total.requests, found.days, found.top, found.windows) == (None, 0, (), (), ())
    assert [one.units for one in found.routing] == [0, 0]


def test_a_day_is_one_of_the_zone() -> None:
    before_midnight = datetime(2026, 11, 3, 23, 30, tzinfo=UTC).timestamp()
    requests = [request(at=before_midnight), request(at=before_midnight + 3600)]
    assert [day.day for day in audit([turn()], requests).days] == ["2026-11-03", "2026-11-04"]
    assert [day.day for day in audit([turn()], requests, hours=1).days] == ["2026-11-04"]
    assert [day.day for day in audit([turn()], requests, hours=-9.5).days] == ["2026-11-03"]


def test_a_unit_over_midnight_counts_on_both_days_and_once_in_all() -> None:
    at = datetime(2026, 11, 3, 23, 59, 50, tzinfo=UTC).timestamp()
    found = audit([turn()], growing(4, start=at))
    assert [day.total.units for day in found.days] == [1, 1]
    assert found.total.units == 1
    assert [line.units for line in found.models] == [1]


def test_an_unknown_price_is_in_no_sum_and_counted() -> None:
    found = audit([turn()], [request(), request(model="our-own", output=7)])
    assert found.total.usd == PRICES.cost(request())
    assert found.total.unknown == 1
    assert keys(found.unknown_models) == ["our-own"]
    assert keys(found.tiers) == ["heavy", "unknown"]
    assert any("left out of what routing would have saved" in trouble.what for trouble in found.troubles)


def test_what_is_billed_by_another_list_is_named() -> None:
    found = audit([turn()], [request(variant="fast")])
    assert found.total.unknown == 1
    assert any("'fast'" in trouble.what for trouble in found.troubles)


def test_the_dearest_units_are_shown_with_what_routing_would_have_done() -> None:
    turns = [turn(id=f"u{number}", conversation=f"c{number}") for number in range(30)]
    requests = [one for number in range(30) for one in growing(number + 1, of=number)]
    found = audit(turns, requests)
    assert [unit.id for unit in found.top] == [f"u{number}" for number in range(29, 9, -1)]
    assert found.top[0].routed
    assert found.top[0].saved_usd > 0


def test_what_the_cache_did() -> None:
    found = audit([turn()], [request(input=0, cache_read=900_000, cache_write=100_000)]).cache
    assert found.share == 0.9
    assert found.read_usd == pytest.approx(0.45)
    assert found.write_usd == pytest.approx(0.625)
    assert found.without_usd == pytest.approx(5.0 - 0.45 - 0.625)


def test_what_the_cache_did_counts_at_the_price_of_the_request_and_only_where_that_is_known() -> None:
    plain = request(input=0, cache_read=900_000, cache_write=100_000)
    once = audit([turn()], [plain]).cache
    fast = msgspec.structs.replace(plain, variant="fast", at=plain.at + 1)
    dearer = msgspec.structs.replace(plain, variant="us", at=plain.at + 2)
    found = audit([turn()], [plain, fast, dearer]).cache
    for name in ("read_usd", "write_usd", "without_usd"):
        assert getattr(found, name) == pytest.approx(2.1 * getattr(once, name)), name
    assert (once.unknown, found.unknown) == (0, 1)


def test_what_the_cache_did_is_unknown_where_no_price_is() -> None:
    found = audit([turn()], [request(model="our-own"), request(input=9, cache_read=0, cache_write=0)]).cache
    assert (found.read_usd, found.write_usd, found.without_usd, found.unknown) == (None, None, None, 1)
    # A log's own dollars are for all kinds of tokens together.
    assert audit([turn()], [request(model="our-own", usd=2.0)]).cache.read_usd is None
    unused = audit([turn()], [request(model="our-own", cache_read=0, cache_write=0)]).cache
    assert (unused.read_usd, unused.write_usd, unused.without_usd, unused.unknown) == (0.0, 0.0, 0.0, 0)


def test_a_unit_costs_what_is_known_of_it() -> None:
    turns = [turn(id=name, conversation=name) for name in ("small", "large", "mixed", "known")]
    requests = [
        request(turn=0, model="our-own"),
        request(turn=1, model="our-own", output=50_000),
        request(turn=2),
        request(turn=2, model="our-own", count=3),
        request(turn=3, output=900),
    ]
    cost = PRICES.cost(request())
    assert cost is not None
    seen = [(unit.id, unit.usd, unit.unknown) for unit in audit(turns, requests).top]
    assert seen == [
        ("known", PRICES.cost(request(output=900)), 0),
        ("mixed", cost, 3),
        ("large", None, 1),
        ("small", None, 1),
    ]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["human", "subagent", "plan", "agent"]),
        st.sampled_from([OPUS, SONNET, HAIKU, "our-own", ""]),
        st.integers(1, 6),
        st.sampled_from(["/a", "/b", ""]),
        st.integers(0, 400_000),
    ),
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_every_sum_is_the_total(rows: list[tuple[str, str, int, str, int]]) -> None:
    turns, requests = [], []
    for number, (origin, model, many, project, later) in enumerate(rows):
        turns.append(turn(origin=origin, project=project, conversation=f"c{number}", at=START + later))
        requests += growing(many, of=number, start=START + later, model=model)
    found = audit(turns, requests)
    total = found.total
    assert total.requests == len(requests)
    assert total.units == len(rows)
    days = [day.total for day in found.days]
    for lines in (found.models, found.projects, found.types, found.agents, found.work, found.tiers, days):
        assert sum(line.requests for line in lines) == total.requests
        assert sum((line.tokens for line in lines), Tokens()) == total.tokens
        assert sum(line.usd for line in lines) == pytest.approx(total.usd)
        assert sum(line.unknown for line in lines) == total.unknown
    for day in found.days:
        assert sum(day.tiers.values()) == pytest.approx(day.total.usd)
        assert sum(day.work.values()) == pytest.approx(day.total.usd)
        assert sum(line.usd for line in day.models) == pytest.approx(day.total.usd)


def test_the_order_of_the_logs_changes_nothing() -> None:
    logs = [
        Log(
            requests=tuple(growing(3, start=START + number * 100, key=f"k{number}")[:1]),
            turns=(turn(conversation=f"c{number}", session=f"s{number}"),),
        )
        for number in range(5)
    ]
    one, other = gather({"claude": logs}, PRICES), gather({"claude": logs[::-1]}, PRICES)
    assert one == other
