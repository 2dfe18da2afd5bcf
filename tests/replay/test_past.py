"""What was known when: nothing of a run's own time or later, and everything before it."""

import msgspec
import pytest
from history import HAIKU, OPUS, PROJECT, SONNET, USED, Fails, lived, mixed, past_of, preferences
from hypothesis import given
from hypothesis import strategies as st

from stepdown.context import build_context
from stepdown.decision import Classification
from stepdown.ledger import Attempt, Outcome, Rating
from stepdown.ledger.memory import MemoryLedger
from stepdown.replay.past import Past
from stepdown.replay.recorded import recorded
from stepdown.signals import Signals
from stepdown.units import Phase, Tier


def quality(draw: list[bool]) -> Fails:
    results = iter(draw)
    return lambda *_: "quality" if next(results, False) else None


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 25))
def test_a_context_is_what_the_ledger_said_then(failures: list[bool], count: int) -> None:
    """A ledger that ends before a run began says what its replay is told."""
    wanted = preferences()
    ledger = lived(wanted, mixed(count), quality(failures))
    past = past_of(ledger)
    for moment in past.moments(wanted.policy):
        before = MemoryLedger()
        known = [record for record in ledger.records() if record.outcome and record.outcome.finished < moment.step.started]
        before.import_records(PROJECT, "then", [(record.attempt, record.outcome) for record in known if record.outcome])
        for events in ledger.evidence(limit=10**9).values():
            before.add_evidence([event for event in events if event.at < moment.step.started])
        then = build_context(before, wanted, project=PROJECT, now=moment.step.started)
        assert moment.context.expectations == then.expectations
        assert _sorted(moment.context.evidence) == _sorted(then.evidence)


def _sorted(evidence: object) -> object:
    assert isinstance(evidence, dict)
    return {name: sorted(events, key=lambda event: (event.at, event.tier.rank)) for name, events in evidence.items()}


def test_a_later_past_changes_nothing_before_it() -> None:
    wanted = preferences()
    short, long = lived(wanted, mixed(12)), lived(wanted, mixed(30))
    before = [moment.context for moment in past_of(short).moments(wanted.policy)]
    after = [moment.context for moment in past_of(long).moments(wanted.policy)]
    assert before == after[: len(before)]


def test_a_rating_counts_from_when_it_was_given_with_the_weight_of_the_policy() -> None:
    wanted = preferences()
    ledger = lived(wanted, [("run-uat", Signals())] * 3)
    rating = Rating(
        project=PROJECT,
        unit_type="run-uat",
        unit_id="M001/S01/T000",
        word="under",
        tier=Tier.LIGHT,
        pattern="run-uat",
        at=1_000_090.0,
    )
    ledger.rate(rating)
    heavier = wanted.policy.with_overrides({"rating_weight": 5.0})
    known = [moment.context.evidence.get("run-uat", ()) for moment in past_of(ledger).moments(heavier)]
    assert [[event.weight for event in events if event.source == "rating"] for events in known] == [[], [], [5.0]]


def test_a_rejected_model_is_blocked_for_as_long_as_it_was() -> None:
    ledger = MemoryLedger()
    policy = preferences().policy
    for started, failure in ((100.0, "rejected"), (200.0, None), (200.0 + policy.block_seconds, None)):
        attempt = Attempt(project=PROJECT, unit_type="run-uat", unit_id=f"{started}", model=HAIKU, started=started)
        outcome = Outcome(failure=failure, message="not yours", tokens=USED, cost_usd=1.0, finished=started + 1)
        ledger.settle(ledger.begin(attempt), outcome)
    blocked = [moment.context.blocked for moment in past_of(ledger).moments(policy)]
    assert blocked == [{}, {HAIKU: "not yours"}, {}]


def test_runs_that_have_not_ended_are_counted_and_left_out() -> None:
    ledger = lived(preferences(), mixed(3))
    ledger.begin(Attempt(project=PROJECT, unit_type="run-uat", unit_id="new", started=5e6))
    past = past_of(ledger)
    assert (len(past.runs), past.running) == (3, 1)


def test_tries_end_with_their_fallbacks_and_passes_begin_anew() -> None:
    ledger = MemoryLedger()
    told = (
        ("first", HAIKU, "provider"),
        ("fallback", SONNET, "quality"),
        ("configured", OPUS, "quality"),
        ("first", HAIKU, None),
    )
    for number, (cause, model, failure) in enumerate(told):
        attempt = Attempt(project=PROJECT, unit_type="run-uat", unit_id="T", model=model, cause=cause, started=float(number))
        ledger.settle(ledger.begin(attempt), Outcome(failure=failure, finished=number + 0.5))
    [run] = Past(ledger.records(), {}, {HAIKU: Tier.LIGHT, SONNET: Tier.STANDARD, OPUS: Tier.HEAVY}.get).runs
    first, second = run.passes
    assert [(one.model, one.tier, one.failure, one.judged) for one in first.tries] == [
        (HAIKU, Tier.STANDARD, "quality", True),
        (OPUS, Tier.HEAVY, "quality", True),
    ]
    assert [(one.model, one.failure) for one in second.tries] == [(HAIKU, None)]


class TestRecorded:
    @pytest.mark.parametrize("decision", ["", "{}", "not JSON", '{"classification": {"tier": "huge", "reason": ""}}', "[1]"])
    def test_what_cannot_be_read_is_taken_from_the_attempt(self, decision: str) -> None:
        attempt = Attempt(
            project="",
            unit_type="execute-task",
            unit_id="",
            tier=Tier.HEAVY,
            model=OPUS,
            decision=decision,
            started=1.0,
            pattern="execute-task:docs",
        )
        was = recorded(attempt)
        assert (was.known, was.signals, was.nature.tier, was.nature.tag, was.ceiling) == (False, None, Tier.HEAVY, "docs", OPUS)

    def test_signals_come_back_as_they_were(self) -> None:
        signals = Signals(
            files=3, steps=2, tags=("docs",), groups=("security",), notes=("odd",), malformed=True, sources={"files": "x"}
        )
        nature = Classification(tier=Tier.LIGHT, reason="", signals=signals.as_mapping(), tag="docs")
        receipt = {"classification": nature, "phase": Phase.EXECUTION}
        attempt = Attempt(
            project="", unit_type="execute-task", unit_id="", started=1.0, decision=msgspec.json.encode(receipt).decode()
        )
        assert recorded(attempt).signals == msgspec.structs.replace(signals, sources={})

    def test_a_hooks_own_model_and_its_triggers_phase(self) -> None:
        receipt = {
            "classification": Classification(tier=Tier.LIGHT, reason=""),
            "phase": Phase.COMPLETION,
            "ceiling": "claude-sonnet-4-6",
            "ceiling_origin": "hook review",
        }
        attempt = Attempt(
            project="", unit_type="hook/review", unit_id="", started=1.0, decision=msgspec.json.encode(receipt).decode()
        )
        unit = recorded(attempt).unit
        assert (unit.model, unit.phase) == ("claude-sonnet-4-6", Phase.COMPLETION)

    @pytest.mark.parametrize(
        ("unchanged", "candidates", "kept"), [("stood down", [{}], "because"), ("stood down", [{}, {}], ""), ("pinned", [], "")]
    )
    def test_what_the_balance_decided_is_kept_and_what_costs_decided_is_not(
        self, unchanged: str, candidates: list[object], kept: str
    ) -> None:
        nature = Classification(tier=Tier.LIGHT, reason="")
        receipt = {"classification": nature, "unchanged": unchanged, "reason": "because", "candidates": candidates}
        attempt = Attempt(
            project="", unit_type="run-uat", unit_id="", started=1.0, decision=msgspec.json.encode(receipt).decode()
        )
        assert recorded(attempt).stood_down == kept


def test_a_coarse_past_is_never_ahead_of_its_runs() -> None:
    wanted = preferences()
    past = past_of(lived(wanted, mixed(80)))
    for moment in past.moments(wanted.policy, grain=0.1):
        dates = [event.at for events in moment.context.evidence.values() for event in events]
        assert max(dates, default=0.0) < moment.step.started
