"""GSD's hooks: which are due, what they change, and that none loops."""

from hypothesis import given
from hypothesis import strategies as st

from stepdown.dispatch.hooks import after, asks_again, before, substituted
from stepdown.preferences.schema import PostUnitHook, PreDispatchHook
from stepdown.units import Unit

TASK = Unit("execute-task", "M001/S02/T03", "Greet")
REVIEW = PostUnitHook(
    name="review", after=("execute-task",), prompt="Review {taskId} of {sliceId} in {milestoneId}.", model="claude-haiku-4-5"
)


def nothing(_: str) -> bool:
    return False


def never(_: str) -> int:
    return 0


def test_a_hook_follows_its_trigger_with_its_own_model_as_ceiling() -> None:
    (due,) = after(TASK, [REVIEW], never, nothing)
    assert (due.unit.type, due.unit.id) == ("hook/review", "M001/S02/T03")
    assert (due.unit.trigger, due.unit.model) == ("execute-task", "claude-haiku-4-5")
    assert due.prompt == "Review T03 of S02 in M001."


def test_never_a_hook_on_a_hook() -> None:
    hook = PostUnitHook(name="again", after=("hook/review", "execute-task"), prompt="x")
    assert after(Unit("hook/review", "M001/S02/T03"), [hook], never, nothing) == []
    change = before(Unit("hook/review"), [PreDispatchHook(name="no", before=("hook/review",), action="skip")], nothing)
    assert change.action == "proceed"


def test_an_artifact_that_is_there_and_spent_cycles_and_a_disabled_hook_are_not_due() -> None:
    with_artifact = PostUnitHook(name="review", after=("execute-task",), prompt="x", artifact="REVIEW.md")
    assert after(TASK, [with_artifact], never, lambda name: name == "REVIEW.md") == []
    assert len(after(TASK, [with_artifact], never, nothing)) == 1
    assert after(TASK, [REVIEW], lambda _: 1, nothing) == []
    off = PostUnitHook(name="off", after=("execute-task",), prompt="x", enabled=False)
    assert after(TASK, [off], never, nothing) == []


@given(st.integers(0, 100), st.integers(0, 100))
def test_no_hook_runs_more_than_ten_times_whatever_it_asks_for(wanted: int, ran: int) -> None:
    hook = PostUnitHook(name="loop", after=("execute-task",), prompt="x", max_cycles=wanted, retry_on="AGAIN.md")
    due = after(TASK, [hook], lambda _: ran, nothing)
    assert bool(due) == (ran < min(wanted, 10))
    assert asks_again(hook, ran, lambda _: True) == (ran < min(wanted, 10))


def test_a_unit_is_skipped_always_or_where_a_file_says_so() -> None:
    skip = PreDispatchHook(name="skip", before=("execute-task",), action="skip", skip_if="SKIP.md")
    assert before(TASK, [skip], nothing).action == "proceed"
    assert before(TASK, [skip], lambda _: True).action == "skip"
    assert before(TASK, [PreDispatchHook(name="s", before=("execute-task",), action="skip")], nothing).action == "skip"
    assert before(Unit("run-uat"), [skip], lambda _: True).fired == ()


def test_modifying_hooks_add_up_in_order_and_the_first_model_counts() -> None:
    hooks = [
        PreDispatchHook(name="a", before=("execute-task",), action="modify", prepend="first {taskId}", model="m1"),
        PreDispatchHook(name="b", before=("execute-task",), action="modify", prepend="second", append="last", model="m2"),
    ]
    change = before(TASK, hooks, nothing)
    assert (change.prepend, change.append, change.model) == ("second\n\nfirst T03", "last", "m1")
    assert change.fired == ("a", "b")


def test_a_replacing_hook_takes_over_prompt_type_and_model() -> None:
    hook = PreDispatchHook(
        name="r", before=("execute-task",), action="replace", prompt="Do {taskId} so.", unit_type="rewrite-docs", model="m"
    )
    change = before(TASK, [hook], nothing)
    assert (change.action, change.prompt, change.model) == ("replace", "Do T03 so.", "m")
    assert (change.unit.type, change.unit.id) == ("rewrite-docs", TASK.id)


def test_parts_that_a_unit_does_not_have_are_empty() -> None:
    assert substituted("{milestoneId}/{sliceId}/{taskId}", "M001") == "M001//"
    assert substituted("{milestoneId}", "") == ""
