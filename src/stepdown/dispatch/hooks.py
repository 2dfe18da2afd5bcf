"""GSD's hooks: what runs after a unit, and what changes, skips or replaces one before it. Pure but for one look at files.

Facts of the schema and its meaning are GSD's (`post_unit_hooks`, `pre_dispatch_hooks`); the code is not. A hook never runs on a
hook. A hook that names no model takes its trigger's (`Unit.trigger`); one that does has it as its ceiling (`Unit.model`).
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stepdown.plans.source import PlanSource
from stepdown.preferences.schema import PostUnitHook, PreDispatchHook
from stepdown.units import Unit

_MOST_CYCLES: Final = 10
"""GSD's own bound on `max_cycles`: a hook that loops ends here whatever it asks for."""


class HookUnit(msgspec.Struct, frozen=True):
    """A hook that is due: the unit it is, what it is told, and the definition it comes from."""

    unit: Unit
    prompt: str
    hook: PostUnitHook


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What the pre-dispatch hooks make of a unit.

    Attributes:
        action: ``proceed``, ``skip`` or ``replace``.
        unit: the unit that runs; another type where a hook replaced it so.
        prepend: text in front of the prompt.
        append: text behind it.
        prompt: the prompt instead of ours, for ``replace``.
        model: a model that a hook names; it beats routing.
        fired: names of the hooks that had a say.
    """

    unit: Unit
    action: str = "proceed"
    prepend: str = ""
    append: str = ""
    prompt: str = ""
    model: str = ""
    fired: tuple[str, ...] = ()


def before(unit: Unit, hooks: Sequence[PreDispatchHook], exists: Callable[[str], bool]) -> Change:
    """What the hooks for `unit` come to, in the order the user wrote them.

    Args:
        unit: about to be dispatched.
        hooks: the preferences' ``pre_dispatch_hooks``.
        exists: whether a file of that name is among the unit's own (for ``skip_if``).
    """
    change = Change(unit=unit)
    if unit.is_hook:
        return change
    for hook in hooks:
        if not hook.enabled or unit.type not in hook.before:
            continue
        if hook.action == "skip":
            if hook.skip_if and not exists(hook.skip_if):
                continue
            return msgspec.structs.replace(change, action="skip", fired=(*change.fired, hook.name))
        fired = (*change.fired, hook.name)
        if hook.action == "replace":
            other = msgspec.structs.replace(unit, type=hook.unit_type) if hook.unit_type else unit
            text = substituted(hook.prompt, unit.id)
            return Change(unit=other, action="replace", prompt=text, model=hook.model or change.model, fired=fired)
        change = msgspec.structs.replace(
            change,
            prepend=_joined(substituted(hook.prepend, unit.id), change.prepend),
            append=_joined(change.append, substituted(hook.append, unit.id)),
            model=change.model or hook.model,
            fired=fired,
        )
    return change


def of_plan(unit: Unit, hooks: Sequence[PreDispatchHook], plan: PlanSource) -> Change:
    """`before`, with the unit's own files looked for where its plan keeps them."""
    return before(unit, hooks, lambda name: plan.beside(unit, name).exists())


def after(
    unit: Unit, hooks: Sequence[PostUnitHook], cycles: Callable[[str], int], exists: Callable[[str], bool]
) -> list[HookUnit]:
    """The hooks that are due after `unit` succeeded, in the order the user wrote them.

    Args:
        unit: has just succeeded.
        hooks: the preferences' ``post_unit_hooks``.
        cycles: how often the hook of that name has run on this unit.
        exists: whether a file of that name is among the unit's own: a hook whose `artifact` is there has done its work.
    """
    if unit.is_hook:
        return []
    return [
        HookUnit(
            Unit(f"hook/{hook.name}", unit.id, unit.title, plan=unit.plan, trigger=unit.type, model=hook.model),
            substituted(hook.prompt, unit.id),
            hook,
        )
        for hook in hooks
        if hook.enabled
        and unit.type in hook.after
        and cycles(hook.name) < min(hook.max_cycles, _MOST_CYCLES)
        and not (hook.artifact and exists(hook.artifact))
    ]


def asks_again(hook: PostUnitHook, cycles: int, exists: Callable[[str], bool]) -> bool:
    """Whether the hook, having run for the `cycles`-th time, wants its trigger run again (it wrote `retry_on`)."""
    return bool(hook.retry_on) and cycles < min(hook.max_cycles, _MOST_CYCLES) and exists(hook.retry_on)


def substituted(text: str, unit_id: str) -> str:
    """The text with ``{milestoneId}``, ``{sliceId}`` and ``{taskId}`` filled in; "" where the unit has no such part."""
    milestone, slice_, task = [*unit_id.split("/"), "", "", ""][:3]
    return text.replace("{milestoneId}", milestone).replace("{sliceId}", slice_).replace("{taskId}", task)


def _joined(first: str, second: str) -> str:
    return "\n\n".join(filter(None, (first, second)))
