import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.catalog import Model
from stepdown.catalog.records import Price, Rates
from stepdown.ledger import Attempt, Expectation, Outcome, Record, accounts
from stepdown.savings import Savings, learned_costs, of_accounts, runs, savings, savings_by_run
from stepdown.units import Tokens

CEILING = "anthropic/opus"


def record(
    number: int,
    *,
    unit_id: str = "T01",
    cost: float | None,
    ceiling: float | None = None,
    downgraded: bool = True,
    failure: str | None = None,
    pattern: str = "",
    cause: str = "first",
    run: str = "",
    loss: float = 0.0,
) -> Record:
    return Record(
        id=number,
        attempt=Attempt(
            project="/p",
            unit_type="execute-task",
            unit_id=unit_id,
            model="anthropic/haiku" if downgraded else CEILING,
            ceiling=CEILING,
            downgraded=downgraded,
            pattern=pattern,
            cause=cause,
            run=run,
            started=float(number),
        ),
        outcome=Outcome(failure=failure, cost_usd=cost, ceiling_cost_usd=ceiling, cache_loss_usd=loss, finished=number + 0.5),
    )


def split(saved: Savings) -> tuple[float, ...]:
    return tuple(round(amount, 9) for amount in (saved.cheaper_usd, saved.failed_usd, saved.cache_usd, saved.net_usd))


def test_nothing_saves_nothing() -> None:
    assert savings([]) == Savings()


def test_a_cheaper_model_saves_the_difference() -> None:
    saved = savings([record(1, cost=0.25, ceiling=1.0)])
    assert split(saved) == (0.75, 0.0, 0.0, 0.75)
    assert (saved.runs, saved.downgraded, saved.escalated, saved.spent_usd, saved.counterfactual_usd) == (1, 1, 0, 0.25, 1.0)


def test_a_failed_attempt_is_lost_and_so_is_the_saving_when_the_ceiling_has_to_do_it() -> None:
    saved = savings(
        [
            record(1, cost=0.25, ceiling=1.0, failure="quality"),
            record(2, cost=1.0, ceiling=1.0, downgraded=False, cause="configured"),
        ]
    )
    assert split(saved) == (0.0, 0.25, 0.0, -0.25)
    assert (saved.runs, saved.downgraded, saved.escalated, saved.rescued) == (1, 1, 1, 1)


def test_a_step_up_below_the_ceiling_still_saves() -> None:
    attempts = [record(1, cost=0.25, ceiling=1.0, failure="quality"), record(2, cost=0.5, ceiling=2.0, cause="step up")]
    assert split(savings(attempts)) == (1.5, 0.25, 0.0, 1.25)
    assert savings(reversed(attempts)) == savings(attempts)


def test_the_ceiling_is_not_charged_for_a_cheap_models_rambling() -> None:
    attempts = [record(1, cost=0.5, ceiling=3.0)]
    assert split(savings(attempts, learned={("execute-task", CEILING): 0.75})) == (0.25, 0.0, 0.0, 0.25)
    assert split(savings(attempts, learned={("execute-task", CEILING): 0.25})) == (-0.25, 0.0, 0.0, -0.25)
    assert split(savings(attempts, learned={("execute-task", CEILING): 9.0})) == (2.5, 0.0, 0.0, 2.5)
    assert split(savings(attempts, learned={("plan-slice", CEILING): 0.25})) == (2.5, 0.0, 0.0, 2.5)


def test_what_went_into_writing_caches_anew_is_told_apart() -> None:
    attempts = [
        record(1, cost=0.25, ceiling=1.0, failure="quality", loss=0.0625),
        record(2, cost=0.5, ceiling=2.0, loss=0.125),
    ]
    assert split(savings(attempts)) == (1.625, 0.1875, 0.1875, 1.25)
    # A loss cannot be more than what was paid.
    assert split(savings([record(1, cost=0.5, ceiling=1.0, loss=7.0)])) == (1.0, 0.0, 0.5, 0.5)
    assert split(savings([record(1, cost=0.0, ceiling=1.0, loss=7.0)])) == (1.0, 0.0, 0.0, 1.0)


def test_going_back_to_the_ceiling_costs_its_cache() -> None:
    """The unit ran on its ceiling, but the one before it did not, and the ceiling's cache had gone cold."""
    back = record(1, cost=1.0, ceiling=0.75, downgraded=False, loss=0.25)
    assert split(savings([back])) == (0.0, 0.0, 0.25, -0.25)
    assert (savings([back]).downgraded, savings([back]).counterfactual_usd) == (0, 0.75)
    failed = record(0, cost=0.125, ceiling=0.5, failure="quality")
    assert split(savings([failed, back])) == (0.0, 0.125, 0.25, -0.375)
    assert split(savings([failed, record(1, cost=1.0, downgraded=False, loss=0.25)])) == (0.0, 0.125, 0.25, -0.375)


def test_a_unit_on_its_ceiling_stands_on_both_sides() -> None:
    saved = savings(
        [record(1, cost=0.5, ceiling=None, downgraded=False, failure="quality"), record(2, cost=1.0, downgraded=False)]
    )
    assert split(saved) == (0.0, 0.0, 0.0, 0.0)
    assert (saved.runs, saved.downgraded, saved.spent_usd, saved.counterfactual_usd) == (1, 0, 1.5, 1.5)


def test_a_unit_that_never_succeeded_saved_nothing() -> None:
    saved = savings(
        [record(1, cost=0.25, ceiling=1.0, failure="quality"), record(2, cost=1.0, downgraded=False, failure="quality")]
    )
    assert split(saved) == (0.0, 0.25, 0.0, -0.25)
    assert (saved.spent_usd, saved.counterfactual_usd) == (1.25, 1.0)


def test_a_failure_of_the_ceiling_itself_is_not_routings_loss() -> None:
    attempts = [
        record(1, cost=0.25, ceiling=1.0, failure="quality"),
        record(2, cost=1.0, downgraded=False, failure="quality", cause="configured"),
        record(3, cost=1.5, downgraded=False, run="next day"),
    ]
    assert split(savings(attempts)) == (0.0, 0.25, 0.0, -0.25)
    assert (savings(attempts).spent_usd, savings(attempts).counterfactual_usd) == (2.75, 2.5)
    # The same within one run: a provider that failed would have failed without routing as well.
    outage = [record(1, cost=0.5, downgraded=False, failure="provider"), record(2, cost=0.25, ceiling=1.0, cause="fallback")]
    assert split(savings(outage)) == (0.75, 0.0, 0.0, 0.75)


def test_stepping_up_is_told_from_other_second_attempts() -> None:
    failed = record(1, cost=0.25, ceiling=1.0, failure="provider")
    assert savings([failed, record(2, cost=0.25, ceiling=1.0, cause="fallback")]).escalated == 0
    stepped = record(2, cost=0.5, ceiling=1.0, cause="step up", failure="quality")
    assert (savings([failed, stepped]).escalated, savings([failed, stepped]).rescued) == (1, 0)


@pytest.mark.parametrize(
    ("failure", "cause", "run", "expected"),
    [
        (None, "first", "a", [1, 1]),  # done again after it succeeded
        ("quality", "step up", "a", [2]),
        ("quality", "step up", "b", [2]),  # killed between the two, and resumed
        ("quality", "first", "b", [2]),
        ("cancelled", "first", "b", [2]),
    ],
)
def test_attempts_are_grouped_by_the_work_they_are_for(failure: str | None, cause: str, run: str, expected: list[int]) -> None:
    first = record(1, cost=1.0, failure=failure, run="a")
    then = record(2, cost=1.0, cause=cause, run=run)
    assert [len(group) for group in runs([then, first])] == expected


def test_what_the_ceiling_needs_is_learned_from_enough_units() -> None:
    price = Price(rates=Rates(input=1.0, output=2.0))
    models = {
        CEILING: Model(id="opus", provider="anthropic", price=price),
        "anthropic/free": Model(id="free", provider="anthropic"),
    }
    used = Expectation(tokens=Tokens(input=1_000_000, output=500_000), units=5)
    expectations = {
        ("execute-task", CEILING): used,
        ("plan-slice", CEILING): msgspec.structs.replace(used, units=4),
        ("execute-task", "anthropic/free"): used,  # its price is unknown
        ("execute-task", "anthropic/gone"): used,
    }
    assert learned_costs(expectations, models.get, 5) == {("execute-task", CEILING): 2.0}


@pytest.mark.parametrize(
    "attempts",
    [
        [record(1, cost=None, ceiling=1.0)],
        [record(1, cost=0.25, ceiling=None)],
        [record(1, cost=None, ceiling=1.0, failure="provider"), record(2, cost=0.25, ceiling=1.0)],
        [record(1, cost=None, downgraded=False)],
    ],
)
def test_an_unknown_price_is_counted_apart_never_as_zero(attempts: list[Record]) -> None:
    saved = savings(attempts)
    assert (saved.runs, saved.unknown, saved.spent_usd, saved.counterfactual_usd) == (0, 1, 0.0, 0.0)


def test_the_ceilings_own_cost_is_known_where_it_ran() -> None:
    saved = savings([record(1, cost=0.25, failure="quality"), record(2, cost=1.0, ceiling=None, downgraded=False)])
    assert (saved.unknown, saved.counterfactual_usd) == (0, 1.0)


def test_what_still_runs_is_not_compared() -> None:
    running = msgspec.structs.replace(record(2, cost=0.0), outcome=None)
    saved = savings([record(1, cost=0.25, ceiling=1.0, failure="quality"), running])
    assert saved == Savings(running=1)


def test_a_unit_that_is_done_again_is_judged_again() -> None:
    saved = savings([record(1, cost=0.25, ceiling=1.0), record(2, cost=0.25, ceiling=1.0)])
    assert (saved.runs, saved.escalated, saved.net_usd) == (2, 0, 1.5)


def test_patterns_are_told_apart() -> None:
    patterns = savings_by_run(
        [
            record(1, unit_id="T01", cost=0.25, ceiling=1.0, pattern="execute-task:docs"),
            record(2, unit_id="T02", cost=0.25, ceiling=1.0, failure="quality"),
        ]
    )
    nets = {name: [saved.net_usd for saved in each] for name, each in patterns.items()}
    assert nets == {"execute-task:docs": [0.75], "execute-task": [-0.25]}


def test_what_the_ceiling_needs_caps_the_runs_together() -> None:
    """Work differs from unit to unit. Capped one by one, the large ones would lose what the small ones never get."""
    records = [record(n, unit_id=f"T{n}", cost=0.6 * size, ceiling=size) for n, size in enumerate((0.5, 0.5, 2.0), 1)]
    learned = {("execute-task", CEILING): 1.0}
    assert savings(records, learned=learned).net_usd == pytest.approx(1.2)
    assert sum(savings_by_run(records, learned=learned)["execute-task"], Savings()).net_usd == pytest.approx(1.2)
    rambling = {("execute-task", CEILING): 0.5}
    assert savings(records, learned=rambling).net_usd == pytest.approx(-0.3)
    assert sum(savings_by_run(records, learned=rambling)["execute-task"], Savings()).net_usd == pytest.approx(-0.3)


def test_runs_are_told_apart_the_newest_first() -> None:
    records = [
        record(1, unit_id="T01", cost=0.25, ceiling=1.0, failure="quality"),
        record(2, unit_id="T02", cost=0.5, ceiling=1.0),
        record(3, unit_id="T01", cost=1.0, downgraded=False),  # the end of what began before T02
        record(4, unit_id="T03", cost=None),
    ]
    [*each] = savings_by_run(records)["execute-task"]
    assert [(one.net_usd, one.unknown) for one in each] == [(0.0, 1), (-0.25, 0), (0.5, 0)]
    assert sum(each, Savings()) == savings(records)


amounts = st.none() | st.floats(0, 50)
attempts_lists = st.lists(
    st.builds(
        record,
        st.integers(1, 50),
        unit_id=st.sampled_from(["T01", "T02", "T03"]),
        cost=amounts,
        ceiling=amounts,
        downgraded=st.booleans(),
        failure=st.sampled_from([None, "quality", "cancelled"]),
        cause=st.sampled_from(["first", "step up", "configured", "fallback"]),
        run=st.sampled_from(["a", "b"]),
        loss=st.just(0.0) | st.floats(0, 60),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)


def without_loss(one: Record) -> Record:
    ended = one.outcome and msgspec.structs.replace(one.outcome, cache_loss_usd=0.0)
    return msgspec.structs.replace(one, outcome=ended)


@settings(deadline=None)
@given(records=attempts_lists, learned=st.none() | st.floats(0, 50))
def test_the_split_always_adds_up(records: list[Record], learned: float | None) -> None:
    costs = {} if learned is None else {("execute-task", CEILING): learned}
    saved = savings(records, learned=costs)
    assert saved.net_usd == pytest.approx(saved.counterfactual_usd - saved.spent_usd, abs=1e-6)
    assert saved.failed_usd >= -1e-9
    assert saved.downgraded >= saved.escalated >= saved.rescued
    assert saved.cache_usd >= 0
    assert saved.net_usd <= savings(records).net_usd + 1e-6
    assert saved.net_usd <= savings(map(without_loss, records), learned=costs).net_usd + 1e-6
    each = sum((one for runs in savings_by_run(records, learned=costs).values() for one in runs), Savings())
    assert each.net_usd <= savings(records).net_usd + 1e-6
    assert (each.runs, each.unknown, each.running) == (saved.runs, saved.unknown, saved.running)
    assert saved.spent_usd <= sum(one.outcome.cost_usd or 0.0 for one in records if one.outcome) + 1e-6


@settings(deadline=None)
@given(records=attempts_lists, learned=st.none() | st.floats(0, 50))
def test_sums_say_what_the_attempts_say(records: list[Record], learned: float | None) -> None:
    known = [one for one in records if one.outcome and None not in {one.outcome.cost_usd, one.outcome.ceiling_cost_usd}]
    costs = {} if learned is None else {("execute-task", CEILING): learned}
    summed = of_accounts(accounts.of_records(known, 0.0, daily=False), learned=costs)
    said = savings(known, learned=costs)
    for name in ("spent_usd", "counterfactual_usd", "cheaper_usd", "failed_usd", "cache_usd", "net_usd"):
        assert getattr(summed, name) == pytest.approx(getattr(said, name), abs=1e-6), name
    assert summed.unknown == said.unknown == 0


def test_of_an_attempt_of_unknown_cost_sums_say_so() -> None:
    records = [
        record(1, unit_id="T01", cost=0.25, failure="quality"),
        record(2, unit_id="T01", cost=None, downgraded=False),
        record(3, unit_id="T02", cost=None, ceiling=1.0),
        record(4, unit_id="T03", cost=0.5, ceiling=None),
    ]
    summed = of_accounts(accounts.of_records(records, 0.0, daily=False))
    assert (summed.unknown, summed.downgraded, summed.net_usd) == (2, 3, -0.25)
