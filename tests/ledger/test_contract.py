"""What every ledger does, tried on each."""

import math
import os

import msgspec
import pytest

from stepdown.errors import BudgetError, LedgerError
from stepdown.ledger import (
    Attempt,
    Block,
    Cap,
    Conversation,
    Evidence,
    Ledger,
    Outcome,
    PlanMeter,
    Rating,
    Record,
    Scope,
    Spent,
    Use,
    rules,
)
from stepdown.ledger.port import NotRunningError
from stepdown.units import Tier, Tokens

DAY = 86_400.0
NOON = 20_000 * DAY + DAY / 2


def attempt(
    *, project: str = "/work", started: float = NOON, model: str = "anthropic/haiku", unit_id: str = "M001/S01/T01"
) -> Attempt:
    return Attempt(
        project=project,
        unit_type="execute-task",
        unit_id=unit_id,
        title="Title",
        tier=Tier.LIGHT,
        model=model,
        ceiling="anthropic/opus",
        downgraded=True,
        reason="docs",
        decision='{"a": 1}',
        pattern="execute-task:docs",
        agent="claude",
        started=started,
        reserved_usd=0.5,
        expected=Tokens(input=1, output=2, cache_read=3, cache_write=4),
        key="a1b2",
        run="r7",
        number=2,
        cause="step up",
    )


TEN = Tokens(input=10)


def outcome(*, cost: float | None = 0.25, failure: str | None = None, tokens: Tokens | None = TEN) -> Outcome:
    return Outcome(
        failure=failure,
        message="message" if failure else "",
        verified=failure is None,
        tokens=tokens,
        cost_usd=cost,
        cost_source="unknown" if cost is None else "reported",
        ceiling_cost_usd=1.0,
        cache_loss_usd=0.125,
        requests=3,
        finished=NOON + 60,
        evidence=("passed: pytest (1.2 s)", 'said "\\n" ✓') if failure is None else (),
        kept="refs/stepdown/kept/7" if failure else "",
    )


def event(*, at: float, success: bool = True, pattern: str = "execute-task", tier: Tier = Tier.LIGHT) -> Evidence:
    return Evidence(at=at, pattern=pattern, tier=tier, model="anthropic/haiku", success=success, project="/work", unit_id="T01")


def test_a_new_ledger_is_empty(ledger: Ledger) -> None:
    assert list(ledger.records()) == []
    assert ledger.spent() == Spent()
    assert list(ledger.breakdown("tier")) == []
    assert ledger.expectations() == {}
    assert ledger.evidence() == {}
    assert list(ledger.blocks(0)) == []
    assert ledger.unblock() == 0
    assert list(ledger.plan_meters()) == []
    assert list(ledger.unfinished()) == []
    assert list(ledger.of_unit("/work", "T01")) == []
    assert list(ledger.recent_use("execute-task")) == []
    assert list(ledger.ratings()) == []
    assert ledger.consents("/work") == frozenset()
    assert list(ledger.conversations(0.0)) == []
    assert ledger.forget_conversations(9e9) == 0


def test_an_attempt_comes_back_as_it_went_in(ledger: Ledger) -> None:
    first = ledger.begin(attempt())
    assert list(ledger.records()) == [Record(id=first, attempt=attempt())]
    ledger.settle(first, outcome())
    assert list(ledger.records()) == [Record(id=first, attempt=attempt(), outcome=outcome())]


@pytest.mark.parametrize(
    "ended",
    [
        Outcome(finished=NOON),
        Outcome(finished=NOON, verified=False, failure="quality", tokens=Tokens(), cost_usd=0.0, requests=0),
        Outcome(finished=NOON, verified=None, cost_usd=1e-9, cost_source="priced"),
    ],
)
def test_unknown_and_zero_stay_apart(ledger: Ledger, ended: Outcome) -> None:
    bare = Attempt(project="", unit_type="t", unit_id="", started=NOON)
    ledger.settle(ledger.begin(bare), ended)
    [record] = ledger.records()
    assert (record.attempt, record.outcome) == (bare, ended)


def test_what_runs_counts_with_its_reservation_and_what_ended_with_its_cost(ledger: Ledger) -> None:
    running = ledger.begin(attempt())
    ended = ledger.begin(attempt())
    assert ledger.spent() == Spent(usd=1.0, attempts=2)
    ledger.settle(ended, outcome())
    assert ledger.spent() == Spent(usd=0.75, tokens=10, requests=3, attempts=2)
    ledger.settle(running, outcome(cost=None))
    assert ledger.spent() == Spent(usd=0.25, tokens=20, requests=6, unpriced=1, attempts=2)


def test_an_attempt_ends_once(ledger: Ledger) -> None:
    ended = ledger.begin(attempt())
    ledger.settle(ended, outcome())
    with pytest.raises(LedgerError, match="has ended already"):
        ledger.settle(ended, outcome(cost=9.0))
    with pytest.raises(LedgerError, match="no attempt 99"):
        ledger.settle(99, outcome())
    assert ledger.spent().usd == 0.25


def test_spending_is_counted_from_a_moment_on(ledger: Ledger) -> None:
    # Two days, several attempts in each; the span begins in the middle of the first.
    starts = [NOON - 60, NOON, NOON + 60, NOON + DAY / 2 - 0.001, NOON + DAY / 2, NOON + 2 * DAY]
    for started in starts:
        ledger.settle(ledger.begin(attempt(started=started)), outcome())
    ledger.begin(attempt(started=NOON + 30))
    for since in [-math.inf, -1.0, 0.0, *starts, NOON + 0.5, NOON + 9 * DAY, math.inf]:
        ended = sum(started >= since for started in starts)
        running = since <= NOON + 30
        assert ledger.spent(since=since) == Spent(
            usd=0.25 * ended + 0.5 * running, tokens=10 * ended, requests=3 * ended, attempts=ended + running
        )


def test_a_moment_just_before_midnight_belongs_to_its_day(ledger: Ledger) -> None:
    late = math.nextafter(DAY, 0)
    ledger.settle(ledger.begin(attempt(started=late)), outcome())
    assert ledger.spent(since=1.0).attempts == 1
    assert [line.key for line in ledger.breakdown("day")] == ["1970-01-01"]


def test_projects_are_kept_apart(ledger: Ledger) -> None:
    for project in ("/a", "/b", "/b"):
        ledger.settle(ledger.begin(attempt(project=project)), outcome())
    assert ledger.spent("/a").attempts == 1
    assert ledger.spent("/b", since=NOON).attempts == 2
    assert ledger.spent("/c") == Spent()
    assert [record.attempt.project for record in ledger.records("/b")] == ["/b", "/b"]
    assert [(line.key, line.attempts) for line in ledger.breakdown("project")] == [("/b", 2), ("/a", 1)]
    assert [line.attempts for line in ledger.breakdown("tier", "/a")] == [1]


def test_the_newest_records_come_first(ledger: Ledger) -> None:
    for started in (NOON, NOON + 2, NOON + 1, NOON + 2):
        ledger.begin(attempt(started=started))
    assert [record.id for record in ledger.records()] == [4, 2, 3, 1]
    assert [record.id for record in ledger.records(limit=2)] == [4, 2]
    assert list(ledger.records(limit=0)) == []


def test_a_breakdown_adds_up_what_ended(ledger: Ledger) -> None:
    ledger.begin(attempt())
    ledger.settle(ledger.begin(attempt()), outcome(tokens=Tokens(input=1, output=2, cache_read=3, cache_write=4)))
    ledger.settle(ledger.begin(attempt()), outcome(failure="quality", cost=0.5))
    ledger.settle(ledger.begin(attempt()), outcome(cost=None, tokens=None))
    ledger.settle(ledger.begin(attempt()), Outcome(finished=NOON, cost_usd=2.0))
    [line] = ledger.breakdown("model")
    assert (line.key, line.attempts, line.failed, line.unverified) == ("anthropic/haiku", 4, 1, 1)
    assert (line.downgraded, line.unpriced, line.usd) == (4, 1, 2.75)
    assert (line.ceiling_usd, line.comparable_usd) == (2.0, 0.75)
    assert line.tokens == Tokens(input=11, output=2, cache_read=3, cache_write=4)


def test_a_breakdown_says_what_it_can_group_by(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"'colour'.*tier, type, model"):
        ledger.breakdown("colour")


def test_expectations_are_means_of_successes_with_known_tokens(ledger: Ledger) -> None:
    for ended in (
        outcome(tokens=Tokens(input=10, output=3)),
        msgspec.structs.replace(outcome(tokens=Tokens(input=20, output=4)), requests=None),
        outcome(tokens=None),
        outcome(tokens=Tokens(input=10_000), failure="quality"),
    ):
        ledger.settle(ledger.begin(attempt()), ended)
    ledger.settle(ledger.begin(attempt(model="")), outcome())
    ledger.begin(attempt())
    expected = ledger.expectations()
    assert list(expected) == [("execute-task", "anthropic/haiku")]
    mean = expected["execute-task", "anthropic/haiku"]
    assert (mean.tokens, mean.requests, mean.units) == (Tokens(input=15, output=4), 3.0, 2)


def test_evidence_is_the_newest_of_each_tier_oldest_first(ledger: Ledger) -> None:
    ledger.add_evidence([event(at=3.0), event(at=1.0), event(at=2.0, success=False), event(at=1.5, tier=Tier.HEAVY)])
    assert [e.at for e in ledger.evidence()["execute-task"]] == [1.0, 1.5, 2.0, 3.0]
    assert [e.at for e in ledger.evidence(limit=2)["execute-task"]] == [1.5, 2.0, 3.0]
    assert ledger.evidence()["execute-task"][2] == event(at=2.0, success=False)
    assert ledger.evidence(limit=0) == {}


def test_evidence_is_added_once(ledger: Ledger) -> None:
    ledger.add_evidence([event(at=1.0), event(at=1.0, success=False)])
    ledger.add_evidence([event(at=1.0)])
    ledger.add_evidence([])
    assert list(ledger.evidence()["execute-task"]) == [event(at=1.0)]
    ledger.add_evidence([event(at=1.0, pattern="plan-slice"), event(at=1.0, tier=Tier.HEAVY)])
    assert sum(map(len, ledger.evidence().values())) == 3


def test_blocks_hold_until_their_time_or_until_cleared(ledger: Ledger) -> None:
    ledger.block(Block(model="b", reason="403", until=10.0))
    ledger.block(Block(model="a", reason="400", until=20.0))
    ledger.block(Block(model="b", reason="404", until=15.0))
    assert [(block.model, block.reason) for block in ledger.blocks(12.0)] == [("a", "400"), ("b", "404")]
    assert [block.model for block in ledger.blocks(15.0)] == ["a"]
    assert ledger.unblock("nobody") == 0
    assert ledger.unblock("a") == 1
    assert ledger.unblock() == 1
    assert list(ledger.blocks(0.0)) == []


def test_a_plan_meter_keeps_the_newest_word(ledger: Ledger) -> None:
    newest = PlanMeter(provider="anthropic", window="week", used=0.4, resets=99.0, at=5.0)
    ledger.set_plan_meter(newest)
    ledger.set_plan_meter(PlanMeter(provider="anthropic", window="week", used=0.1, at=4.0))
    ledger.set_plan_meter(PlanMeter(provider="anthropic", window="5h", used=0.2, at=4.0))
    assert [meter.window for meter in ledger.plan_meters()] == ["5h", "week"]
    assert ledger.plan_meters()[1] == newest


def test_an_import_adds_each_attempt_once(ledger: Ledger) -> None:
    past = [(attempt(unit_id=name), outcome()) for name in ("T01", "T02", "T01")]
    assert ledger.import_records("/elsewhere", "gsd", past) == 2
    assert ledger.import_records("/elsewhere", "gsd", past) == 0
    assert ledger.import_records("/another", "gsd", past) == 2
    assert {(r.source, r.attempt.project) for r in ledger.records()} == {("gsd", "/elsewhere"), ("gsd", "/another")}
    assert ledger.spent("/elsewhere").usd == 0.5
    with pytest.raises(LedgerError, match="cannot be imported as 'run'"):
        ledger.import_records("/elsewhere", "run", past)


def test_an_import_is_whole_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="cost_usd is no amount"):
        ledger.import_records("/work", "gsd", [(attempt(), outcome()), (attempt(unit_id="T02"), outcome(cost=-1.0))])
    assert list(ledger.records()) == []


@pytest.mark.parametrize("cost", [math.nan, math.inf, -0.01, 1e300])
def test_an_impossible_cost_is_refused_and_the_attempt_keeps_running(ledger: Ledger, cost: float) -> None:
    running = ledger.begin(attempt())
    with pytest.raises(LedgerError, match="cost_usd is no amount"):
        ledger.settle(running, outcome(cost=cost))
    assert ledger.spent() == Spent(usd=0.5, attempts=1)


@pytest.mark.parametrize("tokens", [Tokens(input=-1), Tokens(output=2**63), Tokens(cache_write=10**30)])
def test_an_impossible_count_is_refused(ledger: Ledger, tokens: Tokens) -> None:
    with pytest.raises(LedgerError, match="is no count"):
        ledger.settle(ledger.begin(attempt()), outcome(tokens=tokens))


@pytest.mark.parametrize("started", [-1.0, math.nan, math.inf, 1e13])
def test_an_impossible_time_is_refused(ledger: Ledger, started: float) -> None:
    with pytest.raises(LedgerError, match="started is no time"):
        ledger.begin(attempt(started=started))


def test_text_of_any_kind_is_kept(ledger: Ledger) -> None:
    project = os.fsdecode(b"/caf\xe9")  # a directory whose name is not UTF-8
    odd = msgspec.structs.replace(attempt(project=project), title="日本語 🙂 \0 '; DROP TABLE attempts; --")
    ledger.settle(ledger.begin(odd), msgspec.structs.replace(outcome(failure="quality"), message="\ud800"))
    [record] = ledger.records(project)
    assert record.attempt.title == odd.title.replace("\0", "\\x00")  # PostgreSQL takes no NUL
    assert record.attempt.project == "/caf\\udce9"
    assert record.outcome is not None
    assert record.outcome.message == "\\ud800"
    assert ledger.spent(project).attempts == 1
    assert [line.attempts for line in ledger.breakdown("tier", project)] == [1]


SOME = Use(tokens=Tokens(input=1, output=2, cache_read=3, cache_write=4), requests=5, cost_usd=0.75, ended=True)


def test_what_an_attempt_used_so_far_is_remembered_until_it_ends(ledger: Ledger) -> None:
    running = ledger.begin(attempt())
    assert ledger.records()[0].so_far == Use()
    for use in (SOME, Use(requests=6, cost_usd=None), SOME):
        ledger.note_use(running, use)
        assert ledger.records()[0] == Record(id=running, attempt=attempt(), so_far=use)
    ledger.settle(running, outcome())
    with pytest.raises(LedgerError, match="attempt 1 has ended already"):
        ledger.note_use(running, SOME)
    with pytest.raises(LedgerError, match="no attempt 99"):
        ledger.note_use(99, SOME)


def test_what_runs_counts_with_what_it_used_where_that_is_more_than_its_reservation(ledger: Ledger) -> None:
    running = ledger.begin(attempt())
    ledger.note_use(running, msgspec.structs.replace(SOME, cost_usd=0.25))
    assert ledger.spent() == Spent(usd=0.5, tokens=10, requests=5, attempts=1)
    ledger.note_use(running, SOME)
    assert ledger.spent() == Spent(usd=0.75, tokens=10, requests=5, attempts=1)
    ledger.note_use(running, msgspec.structs.replace(SOME, cost_usd=None))
    assert ledger.spent().usd == 0.5
    ledger.settle(running, outcome(cost=0.125))
    assert ledger.spent() == Spent(usd=0.125, tokens=10, requests=3, attempts=1)


@pytest.mark.parametrize("use", [Use(cost_usd=-1.0), Use(cost_usd=math.nan), Use(requests=-1), Use(tokens=Tokens(output=-1))])
def test_an_impossible_use_is_refused(ledger: Ledger, use: Use) -> None:
    running = ledger.begin(attempt())
    with pytest.raises(LedgerError, match=r"is no (amount|count)"):
        ledger.note_use(running, use)
    assert ledger.records()[0].so_far == Use()


def test_attempts_without_an_end_are_found_the_oldest_first(ledger: Ledger) -> None:
    for started, project in ((NOON + 2, "/a"), (NOON, "/b"), (NOON + 1, "/a"), (NOON, "/a")):
        ledger.begin(attempt(project=project, started=started))
    ledger.settle(3, outcome())
    assert [record.id for record in ledger.unfinished()] == [2, 4, 1]
    assert [record.id for record in ledger.unfinished("/a")] == [4, 1]
    assert list(ledger.unfinished("/c")) == []


def test_the_attempts_of_a_unit_come_the_oldest_first(ledger: Ledger) -> None:
    for started, unit_id in ((NOON + 2, "T01"), (NOON, "T01"), (NOON, "T02")):
        ledger.begin(attempt(started=started, unit_id=unit_id))
    ledger.begin(msgspec.structs.replace(attempt(unit_id="T01", started=NOON), unit_type="hook/review"))
    ledger.begin(attempt(project="/elsewhere", unit_id="T01"))
    assert [record.id for record in ledger.of_unit("/work", "T01")] == [2, 4, 1]
    assert ledger.of_unit("/work", "T02")[0].attempt == attempt(unit_id="T02")
    assert list(ledger.of_unit("/work", "T0")) == []


def test_every_unit_comes_with_all_its_attempts_and_one_may_stop_in_the_middle(ledger: Ledger) -> None:
    for number, unit in enumerate(("T02", "T01", "T02")):
        ledger.settle(ledger.begin(attempt(unit_id=unit, started=NOON + number)), Outcome(cost_usd=0.5, finished=NOON + 9))
    ledger.begin(attempt(project="/other"))
    found = [[(one.attempt.unit_id, one.id) for one in unit] for unit in ledger.every_unit("/work")]
    assert found == [[("T01", 2)], [("T02", 1), ("T02", 3)]]
    assert len(list(ledger.every_unit())) == 3
    first = next(iter(ledger.every_unit("/work")))
    assert first[0].attempt.decision == "", "no receipt is read for a bill"
    assert ledger.spent("/work").usd == 1.5, "after breaking off the ledger answers as before"


def test_recent_use_is_that_of_successes_the_newest_first(ledger: Ledger) -> None:
    ended = [
        outcome(tokens=Tokens(input=1)),
        outcome(tokens=Tokens(input=2), cost=None),
        outcome(failure="quality"),
        outcome(tokens=None),
        msgspec.structs.replace(outcome(tokens=Tokens(input=3)), requests=None),
    ]
    for number, one in enumerate(ended):
        ledger.settle(ledger.begin(attempt(started=NOON + number, project=f"/{number}")), one)
    ledger.begin(attempt(started=NOON + 9))
    ledger.settle(ledger.begin(msgspec.structs.replace(attempt(), pattern="execute-task")), outcome())
    found = list(ledger.recent_use("execute-task:docs"))
    assert [use.tokens.input for use in found] == [3, 2, 1]
    assert [(use.requests, use.cost_usd) for use in found] == [(0, 0.25), (3, None), (3, 0.25)]
    assert list(ledger.recent_use("execute-task:docs", limit=2)) == found[:2]
    assert list(ledger.recent_use("execute-task:docs", limit=0)) == []


CAP = Cap(name="budget_ceiling", limit=1.5, scope=Scope(project="/work"))


def test_of_each_pattern_the_newest_units_are_found_with_what_they_cost(ledger: Ledger) -> None:
    for number, (pattern, name) in enumerate([("b", "T1"), ("a", "T1"), ("a", "T2"), ("a", "T3"), ("a", "T2"), ("", "T1")]):
        made = msgspec.structs.replace(attempt(unit_id=name, started=NOON + number), pattern=pattern)
        ledger.settle(ledger.begin(made), outcome(failure="quality" if number == 4 else None))
    ledger.begin(attempt(project="/other"))
    running = ledger.begin(msgspec.structs.replace(attempt(unit_id="T2", started=NOON + 9), pattern="a"))
    found = ledger.newest_of_patterns("/work", units=2)
    # "a": T1 is one unit too many, although T2 has three attempts; a unit's attempts need not be beside each other.
    assert [(record.attempt.pattern, record.attempt.unit_id, record.id) for record in found] == [
        *[("a", "T2", running), ("a", "T2", 5), ("a", "T3", 4), ("a", "T2", 3)],
        ("b", "T1", 1),
    ]
    assert [record.outcome is None for record in found] == [True, False, False, False, False]
    assert found[1] == Record(
        id=5,
        attempt=Attempt(
            project="/work",
            unit_type="execute-task",
            unit_id="T2",
            ceiling="anthropic/opus",
            downgraded=True,
            pattern="a",
            started=NOON + 4,
            cause="step up",
        ),
        outcome=Outcome(failure="quality", cost_usd=0.25, ceiling_cost_usd=1.0, cache_loss_usd=0.125, finished=NOON + 60),
    )


def test_the_patterns_of_one_type_are_its_own_and_its_tags(ledger: Ledger) -> None:
    for pattern in ("execute-task:docs", "execute-task", "execute-tasks", "plan-slice", "execute-task-2:docs"):
        ledger.begin(msgspec.structs.replace(attempt(), pattern=pattern))
    found = ledger.newest_of_patterns("/work", unit_type="execute-task")
    assert [record.attempt.pattern for record in found] == ["execute-task", "execute-task:docs"]


def test_a_unit_that_is_tried_forever_is_not_read_forever(ledger: Ledger) -> None:
    for number in range(10):
        ledger.begin(attempt(started=NOON + number))
    assert [record.id for record in ledger.newest_of_patterns("/work", units=2)] == [10, 9, 8, 7, 6, 5, 4, 3]
    assert ledger.newest_of_patterns("/work", units=0) == []
    assert ledger.newest_of_patterns("/nobody") == []


def test_a_reservation_has_to_fit_into_every_cap(ledger: Ledger) -> None:
    ledger.settle(ledger.begin(attempt(), caps=[CAP]), outcome(cost=0.75))
    ledger.begin(attempt(), caps=[CAP])
    words = r"^budget_ceiling has no room: \$1.25 of \$1.50 are spent or reserved and this unit is expected to cost \$0.50$"
    with pytest.raises(BudgetError, match=words):
        ledger.begin(attempt(), caps=[Cap(name="day", limit=9.0), CAP])
    assert ledger.spent() == Spent(usd=1.25, tokens=10, requests=3, attempts=2)
    # What exactly fits, fits; another project has its own room, and a window counts from its beginning on.
    ledger.begin(msgspec.structs.replace(attempt(), reserved_usd=0.25), caps=[CAP])
    ledger.begin(attempt(project="/elsewhere"), caps=[msgspec.structs.replace(CAP, scope=Scope(project="/elsewhere"))])
    ledger.begin(attempt(started=NOON + DAY), caps=[Cap(name="day", limit=0.5, since=NOON + DAY / 2)])
    with pytest.raises(BudgetError, match="day has no room"):
        ledger.begin(attempt(started=NOON + DAY), caps=[Cap(name="day", limit=0.5, since=NOON + DAY / 2)])


def test_a_reservation_of_nothing_fits_until_the_cap_is_reached(ledger: Ledger) -> None:
    unknown = msgspec.structs.replace(attempt(), reserved_usd=0.0)
    running = ledger.begin(unknown, caps=[CAP])
    ledger.note_use(running, Use(cost_usd=1.49))
    other = ledger.begin(unknown, caps=[CAP])
    ledger.note_use(running, Use(cost_usd=1.5))
    with pytest.raises(BudgetError, match=r"^budget_ceiling has no room: \$1.50 of \$1.50 are spent or reserved$"):
        ledger.begin(unknown, caps=[CAP])
    assert [record.id for record in ledger.unfinished()] == [running, other]


def test_small_amounts_are_told_apart_and_rounding_refuses_nothing(ledger: Ledger) -> None:
    cent = msgspec.structs.replace(attempt(), reserved_usd=0.01)
    for _ in range(30):  # 0.1 + 0.2 is more than 0.3
        ledger.begin(cent, caps=[Cap(name="cap", limit=0.3)])
    with pytest.raises(BudgetError, match=r"\$0.30 of \$0.30 are .* cost \$0.010$"):
        ledger.begin(cent, caps=[Cap(name="cap", limit=0.3)])
    with pytest.raises(BudgetError, match=r"of \$0.00040 are"):
        ledger.begin(cent, caps=[Cap(name="cap", limit=0.0004)])
    assert ledger.spent().attempts == 30


def rating(word: str, *, at: float = 5.0, tier: Tier = Tier.STANDARD, unit_id: str = "T01", project: str = "/work") -> Rating:
    return Rating(
        project=project,
        unit_type="execute-task",
        unit_id=unit_id,
        word=word,
        tier=tier,
        pattern="execute-task:docs",
        model="anthropic/sonnet",
        at=at,
    )


def test_the_last_rating_of_a_unit_holds(ledger: Ledger) -> None:
    ledger.rate(rating("over", at=9.0))
    ledger.rate(rating("ok", unit_id="T02"))
    ledger.rate(rating("ok", project="/elsewhere"))
    ledger.rate(rating("under", at=8.0))  # given later, whatever the clock says
    assert list(ledger.ratings()) == [
        rating("under", at=8.0),
        rating("ok", project="/elsewhere"),
        rating("ok", unit_id="T02"),
    ]
    assert [held.unit_id for held in ledger.ratings("/work")] == ["T01", "T02"]
    with pytest.raises(LedgerError, match="one of over, under, ok, not 'good'"):
        ledger.rate(rating("good"))


@pytest.mark.parametrize(
    ("word", "used", "tier", "success"),
    [
        ("under", Tier.STANDARD, Tier.STANDARD, False),
        ("ok", Tier.STANDARD, Tier.STANDARD, True),
        ("over", Tier.STANDARD, Tier.LIGHT, True),
        ("over", Tier.HEAVY, Tier.STANDARD, True),
        ("over", Tier.LIGHT, Tier.LIGHT, True),
        ("under", Tier.LIGHT, Tier.LIGHT, False),
    ],
)
def test_a_rating_is_evidence(ledger: Ledger, word: str, used: Tier, tier: Tier, success: bool) -> None:
    ledger.rate(rating(word, tier=used))
    said = Evidence(
        at=5.0,
        pattern="execute-task:docs",
        tier=tier,
        model="anthropic/sonnet" if tier is used else "",  # of the lower tier's model it says nothing by name
        success=success,
        weight=2.0,
        source="rating",
        project="/work",
        unit_id="T01",
    )
    assert ledger.evidence() == {"execute-task:docs": (said,)}
    [heavier] = ledger.evidence(rating_weight=3.5)["execute-task:docs"]
    assert heavier == msgspec.structs.replace(said, weight=3.5)


def test_a_changed_rating_leaves_no_trace_in_evidence(ledger: Ledger) -> None:
    ledger.add_evidence([event(at=1.0, pattern="execute-task:docs"), event(at=9.0, pattern="execute-task:docs")])
    for word in ("under", "over", "under", "ok"):
        ledger.rate(rating(word, tier=Tier.LIGHT))
    events = ledger.evidence()["execute-task:docs"]
    assert [(one.at, one.source, one.success) for one in events] == [
        (1.0, "outcome", True),
        (5.0, "rating", True),
        (9.0, "outcome", True),
    ]
    assert [one.at for one in ledger.evidence(limit=2)["execute-task:docs"]] == [5.0, 9.0]
    assert ledger.evidence(limit=0) == {}


def times(ledger: Ledger, pattern: str = "execute-task:docs", *, limit: int = 50) -> list[float]:
    """When what counts of a pattern happened."""
    return [one.at for one in ledger.evidence(limit=limit).get(pattern, ())]


def test_what_is_forgotten_no_longer_counts_and_what_comes_later_does(ledger: Ledger) -> None:
    ledger.add_evidence([event(at=1.0), event(at=2.0), event(at=3.0)])
    assert ledger.forget("execute-task", 2.0) == 2
    assert times(ledger, "execute-task") == [3.0]
    assert ledger.forget("execute-task", 2.5) == 0
    ledger.add_evidence([event(at=4.0), event(at=1.5)])  # recorded later, but it happened before
    assert times(ledger, "execute-task") == [3.0, 4.0]
    assert len(ledger.evidence(with_forgotten=True)["execute-task"]) == 5


def test_a_unit_type_is_forgotten_with_all_its_tags_and_nothing_else(ledger: Ledger) -> None:
    names = ["execute-task", "execute-task:docs", "execute-task-force", "execute", "plan-slice"]
    ledger.add_evidence([event(at=1.0, pattern=name) for name in names])
    assert ledger.forget("execute-task:docs", 9.0) == 1
    assert set(ledger.evidence()) == {"execute-task", "execute-task-force", "execute", "plan-slice"}
    assert ledger.forget("execute-task", 9.0) == 1
    assert set(ledger.evidence()) == {"execute-task-force", "execute", "plan-slice"}
    assert ledger.forget("nothing-such", 9.0) == 0
    assert ledger.forget(None, 9.0) == 3
    assert ledger.evidence() == {}


def test_a_rating_is_forgotten_until_it_is_given_again(ledger: Ledger) -> None:
    ledger.rate(rating("under", at=5.0))
    ledger.rate(rating("ok", at=5.0, unit_id="T02"))
    assert ledger.forget("execute-task:docs", 5.0) == 2
    assert ledger.evidence() == {}
    assert len(ledger.ratings()) == 2  # they hold, for the unit's own story
    ledger.rate(rating("under", at=6.0))
    assert times(ledger) == [6.0]
    assert ledger.forget(None, 5.5) == 0


def test_the_window_is_filled_with_what_counts(ledger: Ledger) -> None:
    theirs = [msgspec.structs.replace(event(at=float(at), pattern="execute-task:docs"), project="/b") for at in range(10, 14)]
    ours = [msgspec.structs.replace(event(at=float(at), pattern="execute-task:docs"), project="/a") for at in range(1, 5)]
    ledger.add_evidence([*ours, *theirs])
    assert ledger.forget(None, 12.0, project="/b") == 3
    # The newest three: one of theirs that happened since, and ours, which are older than what was forgotten.
    assert times(ledger, limit=3) == [3.0, 4.0, 13.0]
    assert ledger.forget("execute-task", 3.0, project="/a") == 3
    assert times(ledger) == [4.0, 13.0]


def test_forgetting_takes_nothing_but_evidence(ledger: Ledger) -> None:
    ledger.settle(ledger.begin(attempt()), outcome())
    before = (list(ledger.records()), ledger.expectations(), ledger.spent(), list(ledger.recent_use("execute-task:docs")))
    assert ledger.forget(None, NOON * 2) == 0
    assert before == (
        list(ledger.records()),
        ledger.expectations(),
        ledger.spent(),
        list(ledger.recent_use("execute-task:docs")),
    )


def test_an_impossible_time_is_not_forgotten(ledger: Ledger) -> None:
    ledger.add_evidence([event(at=1.0)])
    for at in (-1.0, math.nan, math.inf):
        with pytest.raises(LedgerError, match="at is no time"):
            ledger.forget(None, at)
    assert times(ledger, "execute-task") == [1.0]


def test_what_the_user_agreed_to_is_remembered_for_its_project(ledger: Ledger) -> None:
    ledger.consent("/work", "plan commands", 1.0)
    ledger.consent("/work", "plan commands", 2.0)
    ledger.consent("/elsewhere", "something", 1.0)
    assert ledger.consents("/work") == {"plan commands"}
    assert ledger.consents("/nowhere") == frozenset()


def test_a_thing_is_said_once(ledger: Ledger) -> None:
    assert [ledger.first_time(key, 1.0) for key in ("80 %", "80 %", "90 %", "80 %")] == [True, False, True, False]


def test_a_batch_is_kept_whole(ledger: Ledger) -> None:
    before = ledger.begin(attempt(unit_id="T00"))
    with ledger.batch():
        ended = ledger.begin(attempt(unit_id="T01"))
        running = ledger.begin(attempt(unit_id="T02"))
        ledger.settle(ended, outcome())
        ledger.note_use(before, SOME)
        ledger.note_use(running, SOME)
        assert ledger.spent() == Spent(usd=1.75, tokens=30, requests=13, attempts=3)  # what is inside sees what was done
    assert [record.id for record in ledger.unfinished()] == [before, running]
    assert [record.so_far for record in ledger.unfinished()] == [SOME, SOME]
    assert ledger.spent() == Spent(usd=1.75, tokens=30, requests=13, attempts=3)
    assert [(line.attempts, line.usd) for line in ledger.breakdown("type")] == [(1, 0.25)]


def test_a_batch_that_is_broken_off_leaves_nothing(ledger: Ledger) -> None:
    running = ledger.begin(attempt())
    rating = Rating(project="/p", unit_type="t", unit_id="T", word="ok", tier=Tier.LIGHT, pattern="t", at=1.0)

    def everything() -> tuple[object, ...]:
        said = (ledger.records(), ledger.spent(), ledger.breakdown("model"), ledger.evidence(), ledger.ratings())
        return (*map(repr, said), ledger.blocks(0.0), ledger.plan_meters(), ledger.consents("/p"), ledger.expectations())

    before = everything()

    def fill_and_break() -> None:
        with ledger.batch():
            ledger.settle(running, outcome())
            ledger.settle(ledger.begin(attempt(unit_id="T02")), outcome())
            ledger.import_records("/p", "gsd", [(attempt(unit_id="T03"), outcome())])
            ledger.add_evidence([event(at=1.0)])
            ledger.rate(rating)
            ledger.forget(None, 1.0)
            ledger.consent("/p", "plan commands", 1.0)
            ledger.block(Block(model="a/b", reason="403", until=9.0))
            ledger.set_plan_meter(PlanMeter(provider="anthropic", window="5h", used=0.5, at=1.0))
            assert ledger.first_time("said", 1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill_and_break()
    assert everything() == before
    assert ledger.first_time("said", 1.0)
    ledger.settle(running, outcome())


def test_a_call_refused_inside_a_batch_has_done_nothing_and_the_rest_is_kept(ledger: Ledger) -> None:
    ended = ledger.begin(attempt())
    ledger.settle(ended, outcome())
    with ledger.batch():
        running = ledger.begin(attempt(unit_id="T02"))
        with pytest.raises(NotRunningError, match="has ended already"):
            ledger.note_use(ended, SOME)
        with pytest.raises(NotRunningError, match="no attempt 99"):
            ledger.settle(99, outcome())
        with pytest.raises(BudgetError):
            ledger.begin(attempt(), caps=[Cap(name="cap", limit=0.5)])
        with pytest.raises(LedgerError, match="is no amount"):
            ledger.note_use(running, Use(cost_usd=-1.0))
        ledger.note_use(running, SOME)
    assert [record.so_far for record in ledger.unfinished()] == [SOME]
    assert len(ledger.records()) == 2


def test_what_is_asked_together_is_asked_of_one_state_and_the_next_question_of_another(ledger: Ledger) -> None:
    begun = ledger.begin(attempt())
    with ledger.one_state():
        with ledger.one_state():
            assert [record.id for record in ledger.unfinished()] == [begun]
        assert ledger.spent("/work").attempts == 1
        assert [len(list(unit)) for unit in ledger.every_unit("/work")] == [1]
    ledger.settle(begun, Outcome(cost_usd=1.0, finished=NOON + 1))
    assert ledger.unfinished() == []


def test_a_batch_has_no_batch_inside_and_is_not_closed_in_the_middle(ledger: Ledger) -> None:
    with ledger.batch():
        running = ledger.begin(attempt())
        with pytest.raises(LedgerError, match="under way already"), ledger.batch():
            pass
        with pytest.raises(LedgerError, match="cannot be closed inside of a batch"):
            ledger.close()
        ledger.note_use(running, SOME)
    with ledger.batch():  # and one after the other is no problem
        ledger.settle(running, outcome())
    assert ledger.spent().usd == 0.25


def talk(name: str = "s1", *, at: float = NOON, state: bytes = b"\x92\x00\xff", project: str = "/work") -> Conversation:
    return Conversation(project=project, id=name, at=at, state=state)


def named(ledger: Ledger, since: float = 0.0) -> list[str]:
    return [one.id for one in ledger.conversations(since)]


def test_a_conversation_is_as_it_was_remembered_last(ledger: Ledger) -> None:
    ledger.remember([talk(), talk("s2", at=NOON + 5), talk(project="/else", at=NOON + 1)])
    ledger.remember([])
    ledger.remember([talk(state=b"old"), talk(state=b"", at=NOON + 9)])
    # A clock that was set back has the last word as well.
    ledger.remember([talk("s2", at=NOON - 5)])
    assert list(ledger.conversations(0.0)) == [
        talk("s2", at=NOON - 5),
        talk(project="/else", at=NOON + 1),
        talk(state=b"", at=NOON + 9),
    ]
    assert ledger.conversation("/work", "s1") == talk(state=b"", at=NOON + 9)
    assert ledger.conversation("/else", "s2") is None
    assert named(ledger, NOON + 1) == ["s1", "s1"]
    assert named(ledger, NOON + 9.5) == []


def test_conversations_are_forgotten_up_to_a_moment(ledger: Ledger) -> None:
    ledger.remember([talk(str(number), at=NOON + number) for number in range(5)])
    assert (ledger.forget_conversations(NOON + 2), ledger.forget_conversations(NOON + 2)) == (2, 0)
    assert named(ledger) == ["2", "3", "4"]
    assert (ledger.forget_conversations(math.inf), named(ledger)) == (3, [])


def test_what_was_silent_for_a_week_is_dropped_when_something_new_is_written(ledger: Ledger) -> None:
    week = 7 * DAY
    ledger.remember([talk("old", at=NOON - 1), talk("edge", at=NOON)])
    ledger.remember([talk("new", at=NOON + week), talk("late", at=NOON - 2)])
    assert named(ledger) == ["edge", "new"]
    # A moment far in the future drops the others, and keeps nothing out that comes later.
    ledger.remember([talk("wild", at=9e9)])
    ledger.remember([talk("now", at=NOON + week)])
    assert named(ledger) == ["now", "wild"]


def test_the_newest_conversations_are_kept(ledger: Ledger) -> None:
    most = rules.CONVERSATIONS
    ledger.remember(talk(f"{number:05}", at=NOON + number, state=b"x" * 100) for number in range(most))
    ledger.remember([talk("00000", at=NOON + most), talk("new", at=NOON + 0.5)])
    assert len(ledger.conversations(0.0)) == most
    assert named(ledger)[0] == "00001"  # "new" was the oldest of one too many
    ledger.remember([talk(f"a{number}", at=NOON + 1) for number in range(3)])  # of one moment, by name
    assert (len(ledger.conversations(0.0)), named(ledger)[:3]) == (most, ["a2", "00002", "00003"])


@pytest.mark.parametrize(
    "odd", [talk(at=-1.0), talk(at=math.nan), talk(at=math.inf), talk(state=bytes(rules.LARGEST_STATE + 1))]
)
def test_an_impossible_conversation_is_refused_and_the_others_with_it(ledger: Ledger, odd: Conversation) -> None:
    with pytest.raises(LedgerError, match=r"is no time|at most 65,536 are kept"):
        ledger.remember([talk("s2"), odd])
    assert named(ledger) == []
    ledger.remember([talk("\udc80é", project="/\udcff", state=bytes(rules.LARGEST_STATE))])
    [kept] = ledger.conversations(0.0)
    assert (kept.project, kept.id, len(kept.state)) == ("/\\udcff", "\\udc80é", rules.LARGEST_STATE)


def test_conversations_belong_to_a_batch(ledger: Ledger) -> None:
    ledger.remember([talk()])

    def broken_off() -> None:
        with ledger.batch():
            ledger.remember([talk(state=b"new"), talk("s2")])
            assert len(ledger.conversations(0.0)) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert list(ledger.conversations(0.0)) == [talk()]
    with ledger.batch():
        first = ledger.begin(attempt())
        ledger.remember([talk("s2")])
    assert [record.id for record in ledger.unfinished()] == [first]
    assert named(ledger) == ["s1", "s2"]


@pytest.mark.parametrize("loss", [-0.5, math.nan, math.inf])
def test_an_impossible_loss_is_refused(ledger: Ledger, loss: float) -> None:
    running = ledger.begin(attempt())
    with pytest.raises(LedgerError, match="cache_loss_usd is no amount"):
        ledger.settle(running, Outcome(cache_loss_usd=loss, finished=NOON))
    with pytest.raises(LedgerError, match="cache_loss_usd is no amount"):
        ledger.note_use(running, Use(cache_loss_usd=loss))
    assert [record.id for record in ledger.unfinished()] == [running]


def test_what_a_change_of_model_lost_is_known_while_it_runs_and_of_its_pattern(ledger: Ledger) -> None:
    running = ledger.begin(attempt())
    ledger.note_use(running, Use(cost_usd=1.0, cache_loss_usd=0.25, ended=True))
    [record] = ledger.unfinished()
    assert record.so_far == Use(cost_usd=1.0, cache_loss_usd=0.25, ended=True)
    ledger.settle(running, outcome())
    [account] = ledger.newest_of_patterns("/work")
    assert account.outcome is not None
    assert account.outcome.cache_loss_usd == 0.125
