"""Hooks are GSD's: read as GSD reads them, and never a reason to stop."""

from collections.abc import Callable

import pytest

from stepdown.preferences.schema import PostUnitHook, PreDispatchHook, Preferences

Load = Callable[[str], Preferences]

HOOKS = """\
post_unit_hooks:
  - name: review
    after: [execute-task]
    prompt: |
      Review {taskId}.
    model: {model: claude-haiku-4-5, provider: anthropic}
    max_cycles: "3"
    artifact: REVIEW.md
    retry_on: AGAIN.md
    enabled: false
    surprise: 1
pre_dispatch_hooks:
  - {name: standards, before: [plan-slice], action: modify, append: Be brief., model: opus}
"""


def test_hooks_are_read_and_extra_keys_left_alone(load: Load) -> None:
    preferences = load(HOOKS)
    assert preferences.post_unit_hooks == (
        PostUnitHook(
            name="review",
            after=("execute-task",),
            prompt="Review {taskId}.",
            model="anthropic/claude-haiku-4-5",
            max_cycles=3,
            artifact="REVIEW.md",
            retry_on="AGAIN.md",
            enabled=False,
        ),
    )
    assert preferences.pre_dispatch_hooks == (
        PreDispatchHook(name="standards", before=("plan-slice",), action="modify", append="Be brief.", model="opus"),
    )
    assert preferences.warnings == ()
    assert preferences.origins["post_unit_hooks"] == ".gsd/PREFERENCES.md:2"


@pytest.mark.parametrize(
    ("hook", "complaint"),
    [
        ("{name: a, after: [x]}", "('a') needs prompt"),
        ("{prompt: a}", " needs name and after"),
        ("just text", " is a hook with keys of its own, not just text"),
    ],
)
def test_a_post_unit_hook_that_cannot_work_is_left_out(load: Load, hook: str, complaint: str) -> None:
    preferences = load(f"post_unit_hooks:\n  - {hook}\n  - {{name: b, after: [x], prompt: y}}")
    assert [kept.name for kept in preferences.post_unit_hooks] == ["b"]
    joined = complaint if complaint.startswith(" ") else f" {complaint}"
    assert preferences.warnings == (f".gsd/PREFERENCES.md:3: post_unit_hooks[0]{joined}; this hook is left out",)


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        ("action: modfy", "action is one of modify, skip, replace; did you mean 'modify'?"),
        ("action: modify", "modifies a unit and needs prepend or append"),
        ("action: replace", "replaces a unit and needs a prompt"),
        ("prompt: x", "needs action"),
    ],
)
def test_a_pre_dispatch_hook_that_cannot_work_is_left_out(load: Load, rest: str, complaint: str) -> None:
    preferences = load(f"pre_dispatch_hooks: [{{name: a, before: [x], {rest}}}]")
    assert preferences.pre_dispatch_hooks == ()
    assert preferences.warnings == (f".gsd/PREFERENCES.md:2: pre_dispatch_hooks[0] ('a') {complaint}; this hook is left out",)


def test_a_second_hook_of_the_same_name_is_left_out(load: Load) -> None:
    preferences = load("pre_dispatch_hooks:\n- {name: a, before: [x], action: skip}\n- {name: a, before: [y], action: skip}")
    assert [hook.before for hook in preferences.pre_dispatch_hooks] == [("x",)]
    assert preferences.warnings == (".gsd/PREFERENCES.md:4: pre_dispatch_hooks: a second hook is called 'a'; it is left out",)


@pytest.mark.parametrize(("said", "cycles"), [("99", 10), ("0", 1), ("2.6", 3), ("x", 1), ("1e999", 1), ("7", 7)])
def test_cycles_are_one_to_ten(load: Load, said: str, cycles: int) -> None:
    preferences = load(f"post_unit_hooks: [{{name: a, after: [x], prompt: y, max_cycles: {said}}}]")
    assert preferences.post_unit_hooks[0].max_cycles == cycles
    assert len(preferences.warnings) == (said != "7")


def test_a_hook_that_is_neither_on_nor_off_stays_off(load: Load) -> None:
    preferences = load("post_unit_hooks: [{name: a, after: [x], prompt: y, enabled: sometimes}]")
    assert not preferences.post_unit_hooks[0].enabled
    assert "enabled is true or false, not sometimes; the hook stays off" in preferences.warnings[0]


def test_no_list_of_hooks_is_a_warning(load: Load) -> None:
    assert load("post_unit_hooks: {a: 1}").warnings == (".gsd/PREFERENCES.md:2: post_unit_hooks is a list, not a mapping",)
