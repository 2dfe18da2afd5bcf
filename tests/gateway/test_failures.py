"""What errors mean, and how long to leave somebody alone."""

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Model
from stepdown.gateway.failures import failure_of, rest, told_as
from stepdown.gateway.hops import Hop
from stepdown.gateway.resting import Resting
from stepdown.providers import Provider

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("overloaded_error", (529, "overloaded")),
        ("server_is_overloaded", (529, "overloaded")),
        ("rate_limit_error", (429, "rate_limit")),
        ("rate_limit_exceeded", (429, "rate_limit")),
        ("insufficient_quota", (402, "budget")),
        ("billing_error", (402, "budget")),
        ("invalid_api_key", (401, "authentication")),
        ("permission_error", (403, "authentication")),
        ("model_not_found", (404, "not_found")),
        ("request_too_large", (413, "too_large")),
        ("context_length_exceeded", (400, "invalid")),
        ("invalid_request_error", (400, "invalid")),
        ("api_error", (500, "upstream")),
        ("server_error", (500, "upstream")),
        ("timeout_error", (504, "upstream")),
        ("429", (429, "rate_limit")),
        ("503", (503, "upstream")),
        ("418", (418, "invalid")),
        ("200", (502, "upstream")),
        ("", (502, "upstream")),
        ("²", (502, "upstream")),
    ],
)
def test_an_error_is_told_with_the_status_it_should_have_had(kind: str, said: tuple[int, str]) -> None:
    assert told_as(kind) == said


@given(st.text())
def test_any_kind_has_a_status(kind: str) -> None:
    assert 400 <= told_as(kind)[0] <= 599


def test_a_status_is_the_providers_trouble_or_a_rejection() -> None:
    provider = {status for status in range(400, 600) if failure_of(status) == "provider"}
    assert provider == {408, 409, 425, 429, *range(500, 600)}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": email.utils.formatdate(NOW + 90, usegmt=True)}, 90),
        ({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "inf"}, 0),
        ({"retry-after": "99999999"}, 3600),
    ],
)
def test_how_long_a_provider_wants_to_be_left_alone(headers: dict[str, str], seconds: float) -> None:
    assert rest(headers, NOW) == pytest.approx(seconds, abs=1)


@given(st.text())
def test_whatever_it_says_it_is_some_seconds(said: str) -> None:
    assert 0 <= rest({"retry-after": said}, NOW) <= 3600


def hop(name: str, key: str = "") -> Hop:
    return Hop(model=Model(id=name, provider="p"), provider=Provider(name="p"), url="u", home=True, key=key)


def test_who_rests_is_passed_over_until_it_is_over_but_the_last_is_asked() -> None:
    now = [0.0]
    resting = Resting(lambda: now[0])
    hops = (hop("a"), hop("b"), hop("c"))
    assert resting.awake(hops) == hops
    resting.note(hops[0], 10)
    resting.note(hops[1], 0)
    resting.note(hops[2], 99)
    assert list(resting.awake(hops)) == [hops[1], hops[2]]
    assert list(resting.awake((hop("a", "OTHER_KEY"), hops[2]))) == [hop("a", "OTHER_KEY"), hops[2]]
    now[0] = 10.0
    assert list(resting.awake(hops)) == list(hops)
