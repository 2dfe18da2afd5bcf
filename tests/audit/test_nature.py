import pytest
from hypothesis import given
from hypothesis import strategies as st
from works import CATALOG, request, turn

from stepdown.audit.history import Work
from stepdown.audit.nature import foreseen, shown
from stepdown.audit.price import Prices
from stepdown.policy import DEFAULT_POLICY
from stepdown.sessions.records import Request
from stepdown.signals import Signals
from stepdown.units import Tier

TYPO = Signals(tags=("typo",), files=1, steps=1)


def work(number: int = 12, **changes: object) -> Work:
    requests: tuple[Request, ...] = tuple(request() for _ in range(number))
    return Work("claude", turn(**changes), requests, tuple(Prices(CATALOG).cost(one) for one in requests), ())


@pytest.mark.parametrize(
    ("changes", "tier"),
    [
        ({}, Tier.STANDARD),
        ({"signals": TYPO}, Tier.STANDARD),
        ({"signals": TYPO, "origin": "plan"}, Tier.LIGHT),
        ({"signals": Signals(files=9)}, Tier.HEAVY),
        ({"type": "hook/title", "origin": "agent"}, Tier.LIGHT),
        ({"type": "subagent/Explore", "origin": "subagent"}, Tier.STANDARD),
        ({"type": "plan-milestone", "origin": "plan"}, Tier.HEAVY),
        ({"type": "", "origin": "agent"}, Tier.STANDARD),
    ],
)
def test_what_could_be_known_at_the_beginning(changes: dict[str, object], tier: Tier) -> None:
    assert foreseen(turn(**changes), DEFAULT_POLICY).tier is tier


@pytest.mark.parametrize(
    ("number", "changes", "tier"),
    [
        (12, {"files": 2}, Tier.STANDARD),
        (3, {"files": 1}, Tier.LIGHT),
        (3, {"files": 1, "signals": Signals(files=9)}, Tier.LIGHT),  # it sounded heavier than it was
        (12, {"files": 6}, Tier.HEAVY),
        (80, {}, Tier.HEAVY),
        (12, {"files": 5, "signals": TYPO}, Tier.STANDARD),
        (12, {"files": 1, "signals": TYPO}, Tier.LIGHT),
        (3, {"type": "subagent/Explore", "origin": "subagent"}, Tier.LIGHT),
        (90, {"type": "subagent/Explore", "origin": "subagent"}, Tier.HEAVY),
        (90, {"type": "hook/title", "origin": "agent"}, Tier.LIGHT),
        (2, {"type": "plan-milestone", "origin": "plan"}, Tier.HEAVY),
    ],
)
def test_how_hard_it_turned_out_to_be(number: int, changes: dict[str, object], tier: Tier) -> None:
    assert shown(work(number, **changes), DEFAULT_POLICY) is tier


def test_a_sum_counts_as_the_requests_it_stands_for() -> None:
    one = work(1)
    many = Work(one.agent, one.turn, (request(count=100),), (1.0,), ())
    assert (shown(one, DEFAULT_POLICY), shown(many, DEFAULT_POLICY)) == (Tier.LIGHT, Tier.HEAVY)


@given(st.integers(1, 120), st.integers(0, 12), st.integers(0, 20), st.integers(0, 5))
def test_more_never_makes_it_easier(number: int, files: int, more: int, wider: int) -> None:
    assert shown(work(number, files=files), DEFAULT_POLICY) <= shown(work(number + more, files=files + wider), DEFAULT_POLICY)
