import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.classify import classify, find_flips, flips, pattern
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.signals import KEYWORDS, Signals, introspect
from stepdown.units import KNOWN_TYPES, PlanText, Tier, Unit

TASK = Unit("execute-task", "M001/S01/T01")
SLICE = Unit("plan-slice", "M001/S01")
L, S, H = Tier.LIGHT, Tier.STANDARD, Tier.HEAVY

numbers = st.none() | st.integers(0, 20)
signals = st.builds(
    Signals,
    dependencies=numbers,
    files=numbers,
    steps=numbers,
    lines=st.none() | st.integers(0, 1500),
    created=st.none() | st.integers(1, 5),
    slice_tasks=numbers,
    research_lines=st.none() | st.integers(0, 500),
    risk=st.sampled_from([None, "low", "high"]),
    groups=st.sets(st.sampled_from(sorted(KEYWORDS)), max_size=4).map(lambda found: tuple(sorted(found))),
    tags=st.sampled_from([(), ("docs",), ("rename",), ("test",), ("refactor", "config")]),
    malformed=st.booleans(),
)


def tier(found: Signals, unit: Unit = TASK) -> Tier:
    return classify(unit, found, DEFAULT_POLICY).tier


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Signals(files=5, steps=7), S),
        (Signals(files=6, steps=1), H),
        (Signals(files=1, steps=8), H),
        (Signals(files=2, steps=4, dependencies=2), S),
        (Signals(files=2, steps=4, dependencies=3), H),
        (Signals(files=2, steps=4, lines=499), S),
        (Signals(files=2, steps=4, lines=500), H),
        (Signals(files=2, steps=4, groups=("security",)), S),
        (Signals(files=2, steps=4, groups=("security", "migration")), H),
        (Signals(files=3, steps=3, tags=("docs",)), L),
        (Signals(files=3, tags=("config",)), L),
        (Signals(steps=3, tags=("rename",)), L),
        (Signals(files=4, steps=3, tags=("docs",)), S),
        (Signals(files=3, steps=4, tags=("typo",)), S),
        (Signals(files=3, steps=3, tags=("test",)), S),
        (Signals(files=6, steps=2, tags=("docs",)), H),
        (Signals(files=1, steps=3), L),
        (Signals(files=1, steps=3, created=1), S),
        (Signals(files=1, steps=4), S),
        (Signals(files=1), S),
        (Signals(files=0, steps=2), S),
    ],
)
def test_the_rules_at_their_edges(found: Signals, expected: Tier) -> None:
    assert tier(found) is expected
    assert tier(found, Unit("reactive-execute")) is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Signals(), S),
        (Signals(slice_tasks=5, research_lines=200, risk="medium"), S),
        (Signals(slice_tasks=6), H),
        (Signals(research_lines=201), H),
        (Signals(risk="high"), H),
        (Signals(files=30, steps=30), S),
    ],
)
def test_the_scope_of_a_slice(found: Signals, expected: Tier) -> None:
    assert tier(found, SLICE) is expected
    assert tier(found, Unit("refine-slice")) is expected


@given(
    signals,
    st.sampled_from([*sorted(set(KNOWN_TYPES) - {"execute-task", "reactive-execute", "plan-slice", "refine-slice"}), "hook/x"]),
)
def test_other_types_keep_their_default(found: Signals, unit_type: str) -> None:
    unit = Unit(unit_type)
    answer = classify(unit, found, DEFAULT_POLICY)
    assert answer.tier is unit.default_tier
    assert answer.tag == ""
    assert flips(unit, found, answer, DEFAULT_POLICY) == ()


class TestReasons:
    def test_a_newcomer_understands_them(self) -> None:
        answer = classify(TASK, Signals(files=7, steps=9), DEFAULT_POLICY)
        assert answer.reason == "writes 7 files (6 or more is heavy); has 9 steps (8 or more is heavy)"
        assert classify(TASK, Signals(files=2, steps=1, tags=("docs",)), DEFAULT_POLICY).reason.startswith(
            "documentation, 2 files and 1 step"
        )

    def test_a_missing_plan_says_so(self) -> None:
        answer = classify(TASK, introspect(TASK, DEFAULT_POLICY), DEFAULT_POLICY)
        assert (answer.tier, answer.reason, answer.confidence) == (S, "there is no plan to read, so standard", 0.0)

    def test_a_malformed_plan_is_never_light(self) -> None:
        unit = Unit("execute-task", plan=PlanText(task="---\nestimated_steps: ?\nestimated_files: 1\n---\n## Steps\n1. a\n"))
        answer = classify(unit, introspect(unit, DEFAULT_POLICY), DEFAULT_POLICY)
        assert answer.tier is S
        assert "estimated_steps in the task plan is not a whole number" in answer.reason

    @given(signals)
    def test_one_line_and_a_confidence_between_0_and_1(self, found: Signals) -> None:
        answer = classify(TASK, found, DEFAULT_POLICY)
        assert answer.reason
        assert answer.reason.isprintable()
        assert 0 <= answer.confidence <= 1
        msgspec.json.encode(answer.signals)


@given(signals, st.sampled_from(["files", "steps", "dependencies", "lines"]), st.integers(1, 2000))
def test_more_work_is_never_lighter(found: Signals, name: str, more: int) -> None:
    before = getattr(found, name)
    if before is not None and before > 0:
        assert tier(msgspec.structs.replace(found, **{name: before + more})) >= tier(found)


@given(signals, st.sampled_from([TASK, SLICE]))
def test_applying_a_flip_flips(found: Signals, unit: Unit) -> None:
    answer = classify(unit, found, DEFAULT_POLICY)
    for flip in find_flips(unit, found, answer, DEFAULT_POLICY):
        changed = tier(msgspec.structs.replace(found, **flip.changes), unit)
        assert changed is flip.tier is not answer.tier
        assert str(flip.tier) in flip.text


@given(signals)
def test_something_always_flips_a_task_whose_plan_can_be_read(found: Signals) -> None:
    assert flips(TASK, found, classify(TASK, found, DEFAULT_POLICY), DEFAULT_POLICY)


def test_flips_in_plain_words() -> None:
    def said(found: Signals) -> tuple[str, ...]:
        return flips(TASK, found, classify(TASK, found, DEFAULT_POLICY), DEFAULT_POLICY)

    assert "one file fewer (5 instead of 6) would make it standard" in said(Signals(files=6, steps=4))
    assert "2 more steps (8 instead of 6) would make it heavy" in said(Signals(files=2, steps=6))
    assert said(Signals(files=7, steps=9)) == (
        "2 files fewer (5 instead of 7) and 2 steps fewer (7 instead of 9) would make it standard",
    )


def test_thresholds_come_from_the_policy() -> None:
    policy = Policy(heavy_files=3)
    assert classify(TASK, Signals(files=3, steps=4), policy).tier is H


def test_patterns() -> None:
    plain = classify(TASK, Signals(files=4), DEFAULT_POLICY)
    tagged = classify(TASK, Signals(files=4, tags=("test", "refactor")), DEFAULT_POLICY)
    assert pattern(TASK, plain) == "execute-task"
    assert pattern(TASK, tagged) == "execute-task:test"
