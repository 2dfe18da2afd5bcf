"""A run-away is stopped at the first event beyond a limit, and nothing else is stopped."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.agents.port import Event, Finished, Started, Step, Used
from stepdown.dispatch.watch import DEFAULTS, Limits, Stop, Usage, Watch, default, limits_for
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import KNOWN_TYPES, Tokens

POLICY = DEFAULT_POLICY
WIDE = Limits(steps=10**9, tokens=10**12)
DOLLAR_A_TOKEN = 1.0


def price(used: Used) -> float | None:
    return used.tokens.total * DOLLAR_A_TOKEN


def watch(limits: Limits = WIDE, *, cap: float | None = None) -> Watch:
    return Watch(limits, price, POLICY, cost_cap=cap)


def stopped_at(watch: Watch, events: Sequence[Event]) -> tuple[int, Stop] | None:
    """The position of the first event at which it stops."""
    for position, event in enumerate(events):
        stop = watch.see(event)
        if stop is not None:
            return position, stop
    return None


def used(tokens: int = 1) -> Used:
    return Used(Tokens(input=tokens))


def call(name: str, detail: str, *, error: bool) -> list[Event]:
    return [Step("tool", name, detail), Step("result", detail="what it said", error=error)]


# Limits


def test_without_a_past_the_defaults_count() -> None:
    requests, tokens = DEFAULTS["execute-task"]
    assert limits_for("execute-task", (), POLICY) == Limits(steps=3 * requests, tokens=3 * tokens)
    few = [Usage(steps=1, tokens=1)] * (POLICY.expectation_minimum - 1)
    assert limits_for("execute-task", few, POLICY) == limits_for("execute-task", (), POLICY)


def test_a_past_counts_by_its_90th_percentile() -> None:
    past = [Usage(steps=number, tokens=1000 * number, cost_usd=0.1 * number, model="a/b") for number in range(1, 31)]
    limits = limits_for("execute-task", past, POLICY, model="a/b")
    assert (limits.steps, limits.tokens) == (81, 81_000)
    assert limits.cost_usd == pytest.approx(8.1)


def test_a_few_small_units_do_not_make_a_larger_one_a_run_away() -> None:
    requests, tokens = DEFAULTS["execute-task"]
    few = [Usage(steps=3, tokens=1000, cost_usd=0.1, model="a/b")] * (POLICY.watch_minimum - 1)
    assert limits_for("execute-task", few, POLICY, model="a/b") == Limits(steps=3 * requests, tokens=3 * tokens)
    enough = [*few, few[0]]
    limits = limits_for("execute-task", enough, POLICY, model="a/b")
    assert (limits.steps, limits.tokens) == (9, 3000)
    assert limits.cost_usd == pytest.approx(0.3)
    large = [Usage(steps=2 * requests, tokens=2 * tokens)] * POLICY.expectation_minimum
    assert limits_for("execute-task", large, POLICY) == Limits(steps=6 * requests, tokens=6 * tokens)


def test_what_another_model_costs_is_no_limit() -> None:
    past = [Usage(steps=1, tokens=1000, cost_usd=0.01, model="a/cheap")] * 30
    assert limits_for("execute-task", past, POLICY, model="a/dear").cost_usd is None
    assert limits_for("execute-task", past, POLICY).cost_usd is None


def test_each_measure_is_taken_where_it_is_known() -> None:
    past = [Usage(tokens=1000)] * 22
    assert limits_for("execute-task", past, POLICY) == Limits(steps=3 * DEFAULTS["execute-task"][0], tokens=3000)


def test_every_type_has_a_default() -> None:
    assert default("reactive-execute") == DEFAULTS["execution/*"]
    assert default("hook/review") == default("subagent/x") == DEFAULTS["*"]
    for unit_type in (*KNOWN_TYPES, "discuss-x", "whatever"):
        requests, tokens = default(unit_type)
        assert requests > 0
        assert tokens > 0


# Beyond what such work needs


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(0, 30), st.integers(0, 400))
def test_it_stops_at_the_first_request_beyond_and_not_before(sizes: list[int], steps: int, tokens: int) -> None:
    totals = [sum(sizes[: position + 1]) for position in range(len(sizes))]
    first = next((n for n, total in enumerate(totals) if n + 1 > steps or total > tokens), None)
    stop = stopped_at(watch(Limits(steps=steps, tokens=tokens)), [used(size) for size in sizes])
    assert (None if stop is None else stop[0]) == first
    assert stop is None or stop[1].kind == "quality"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 300))
def test_the_cap_stops_as_it_is_reached_and_comes_before_quality(sizes: list[int], cap: int) -> None:
    totals = [sum(sizes[: position + 1]) for position in range(len(sizes))]
    first = next((n for n, total in enumerate(totals) if total >= cap), None)
    limits = Limits(steps=10**6, tokens=max(cap - 1, 0))  # crossed by the very same request, or later
    stop = stopped_at(watch(limits, cap=float(cap)), [used(size) for size in sizes])
    assert (None if stop is None else (stop[0], stop[1].kind)) == (None if first is None else (first, "budget"))


def test_dollars_beyond_the_models_own_are_quality_and_unknown_prices_stop_nothing() -> None:
    limits = Limits(steps=100, tokens=10**6, cost_usd=5.0)
    stop = stopped_at(watch(limits), [used(5), used(1)])
    assert stop == (1, Stop("quality", "stopped at $6.00, where such work needs at most $5.00"))
    unpriced = Watch(limits, lambda _: None, POLICY, cost_cap=0.01)
    assert stopped_at(unpriced, [used(1000)] * 50) is None


def test_where_no_requests_are_told_rounds_of_calls_count() -> None:
    side_by_side: list[Event] = [Step("tool", "read", "a"), Step("tool", "read", "b"), Step("result"), Step("result")]
    assert stopped_at(watch(Limits(steps=2, tokens=1)), side_by_side * 2) is None
    stop = stopped_at(watch(Limits(steps=2, tokens=1)), side_by_side * 3)
    assert stop is not None
    assert stop[0] == 8


@given(st.lists(st.sampled_from(["text", "started", "finished"]), max_size=300))
def test_words_alone_never_stop_it(kinds: list[str]) -> None:
    events: dict[str, Event] = {
        "text": Step("text", detail="hm", error=True),
        "started": Started(),
        "finished": Finished(tokens=Tokens(input=10**9), cost_usd=1e9),
    }
    assert stopped_at(watch(Limits(steps=0, tokens=0), cap=0.01), [events[kind] for kind in kinds]) is None


# Going round in circles


def test_the_same_failing_call_again_and_again() -> None:
    events = call("bash", "npm test", error=True) * 10
    stop = stopped_at(watch(), events)
    assert stop == (2 * POLICY.watch_repeats - 1, Stop("quality", "the same call failed 4 times in a row: bash npm test"))


def test_a_success_or_another_call_in_between_begins_anew() -> None:
    fails, other, works = (
        call("bash", "npm test", error=True),
        call("bash", "ls x", error=True),
        call("edit", "a.py", error=False),
    )
    assert stopped_at(watch(), (fails * 3 + works * 2) * 5) is None
    assert stopped_at(watch(), fails * 3 + other + fails * 3) is None


def test_calls_side_by_side_are_told_apart_by_order_or_by_name() -> None:
    a, b = Step("tool", "bash", "a"), Step("tool", "edit", "b")
    in_order: list[Event] = [a, b, Step("result", error=True), Step("result", error=False)]
    by_name: list[Event] = [a, b, Step("result", "edit", error=False), Step("result", "bash", error=True)]
    assert stopped_at(watch(), in_order * 8) is None
    stop = stopped_at(watch(), [*by_name, *(call("bash", "a", error=True) * 3)])
    assert stop is not None
    assert stop[0] == 9


@given(st.lists(st.booleans(), max_size=60))
def test_most_results_being_errors_stops_it_at_the_first_moment_that_is_so(errors: list[bool]) -> None:
    events = [event for number, error in enumerate(errors) for event in call("bash", f"command {number}", error=error)]
    first = next(
        (
            2 * n + 1
            for n in range(len(errors))
            if n + 1 >= POLICY.watch_error_minimum and sum(errors[: n + 1]) >= POLICY.watch_error_share * (n + 1)
        ),
        None,
    )
    stop = stopped_at(watch(), events)
    assert (None if stop is None else stop[0]) == first


@given(st.permutations([*(["use"] * 6), *(["fail"] * 3), *(["work"] * 2)]))
def test_the_order_of_independent_events_changes_nothing(order: list[str]) -> None:
    """Tokens add up whatever tools do in between, and a stop once said is said again."""
    seen = watch(Limits(steps=100, tokens=5))
    events: dict[str, list[Event]] = {
        "use": [used()],
        "fail": call("bash", "x", error=True),
        "work": call("edit", "y", error=False),
    }
    stops = [seen.see(event) for kind in order for event in events[kind]]
    sixth = [kind for kind in order for _ in events[kind]]
    position = [number for number, kind in enumerate(sixth) if kind == "use"][5]
    assert stops[:position] == [None] * position
    assert all(stop == Stop("quality", "stopped after 6 tokens, where such work needs at most 5") for stop in stops[position:])
