"""GSD's hooks, read as GSD reads them: a hook that cannot work is left out with a warning, extra keys are GSD's business."""

import math
from typing import Final, Literal, TypeVar

from stepdown.preferences.document import Node
from stepdown.preferences.gsd import HOOK_CYCLES
from stepdown.preferences.merge import as_bool
from stepdown.preferences.reading import Reading, nearest, shown
from stepdown.preferences.schema import PostUnitHook, PreDispatchHook

Hook = TypeVar("Hook", PostUnitHook, PreDispatchHook)
Action = Literal["modify", "skip", "replace"]

_ACTIONS: Final[dict[str, Action]] = {"modify": "modify", "skip": "skip", "replace": "replace"}


def post_unit_hooks(reading: Reading, node: Node) -> tuple[PostUnitHook, ...]:
    """The hooks of ``post_unit_hooks`` that can work."""
    lenient, key = reading.lenient(), "post_unit_hooks"
    found = [(item, _post_unit(lenient, item, place)) for item, place in _entries(lenient, node, key)]
    return _unique(lenient, node, key, found)


def pre_dispatch_hooks(reading: Reading, node: Node) -> tuple[PreDispatchHook, ...]:
    """The hooks of ``pre_dispatch_hooks`` that can work."""
    lenient, key = reading.lenient(), "pre_dispatch_hooks"
    found = [(item, _pre_dispatch(lenient, item, place)) for item, place in _entries(lenient, node, key)]
    return _unique(lenient, node, key, found)


def _entries(reading: Reading, node: Node, key: str) -> list[tuple[Node, str]]:
    return [(item, f"{key}[{index}]") for index, item in enumerate(reading.items(node, key)) if not item.unset]


def _unique(reading: Reading, node: Node, key: str, hooks: list[tuple[Node, Hook | None]]) -> tuple[Hook, ...]:
    named: dict[str, Hook] = {}
    for item, hook in hooks:
        if hook is None:
            continue
        if hook.name in named:
            reading.doubt(item, f"{key}: a second hook is called '{hook.name}'; it is left out")
            continue
        named[hook.name] = hook
    if named:
        reading.origins[key] = node.where
    return tuple(named.values())


def _post_unit(reading: Reading, node: Node, place: str) -> PostUnitHook | None:
    name, after, prompt = _text(node, "name"), _texts(node, "after"), _text(node, "prompt")
    missing = [key for key, value in (("name", name), ("after", after), ("prompt", prompt)) if not value]
    if missing:
        _left_out(reading, node, place, name, f"needs {' and '.join(missing)}")
        return None
    return PostUnitHook(
        name=name,
        after=after,
        prompt=prompt,
        model=_model(node),
        max_cycles=_cycles(reading, node, place),
        artifact=_text(node, "artifact"),
        retry_on=_text(node, "retry_on"),
        agent=_text(node, "agent"),
        enabled=_enabled(reading, node, place),
    )


def _pre_dispatch(reading: Reading, node: Node, place: str) -> PreDispatchHook | None:
    name, before, action = _text(node, "name"), _texts(node, "before"), _text(node, "action")
    missing = [key for key, value in (("name", name), ("before", before), ("action", action)) if not value]
    if missing:
        _left_out(reading, node, place, name, f"needs {' and '.join(missing)}")
        return None
    if action not in _ACTIONS:
        near = nearest(action, _ACTIONS)
        hint = f"; did you mean '{near}'?" if near else ""
        _left_out(reading, node, place, name, f"action is one of {', '.join(_ACTIONS)}{hint}")
        return None
    hook = PreDispatchHook(
        name=name,
        before=before,
        action=_ACTIONS[action],
        prepend=_text(node, "prepend"),
        append=_text(node, "append"),
        prompt=_text(node, "prompt"),
        unit_type=_text(node, "unit_type"),
        skip_if=_text(node, "skip_if"),
        model=_model(node),
        enabled=_enabled(reading, node, place),
    )
    if hook.action == "replace" and not hook.prompt:
        _left_out(reading, node, place, name, "replaces a unit and needs a prompt")
        return None
    if hook.action == "modify" and not hook.prepend and not hook.append:
        _left_out(reading, node, place, name, "modifies a unit and needs prepend or append")
        return None
    return hook


def _left_out(reading: Reading, node: Node, place: str, name: str, why: str) -> None:
    called = f" ({name[:40]!r})" if name else ""
    what = why if isinstance(node.value, dict) else f"is a hook with keys of its own, not {shown(node)}"
    reading.doubt(node, f"{place}{called} {what}; this hook is left out")


def _text(node: Node, key: str) -> str:
    child = node.entries().get(key)
    return child.value.strip() if child is not None and isinstance(child.value, str) else ""


def _texts(node: Node, key: str) -> tuple[str, ...]:
    child = node.entries().get(key)
    if child is None:
        return ()
    items = child.value if isinstance(child.value, list) else [child]
    return tuple(item.value.strip() for item in items if isinstance(item.value, str) and item.value.strip())


def _model(node: Node) -> str:
    """A hook's model: a name, or a section with ``model`` and perhaps ``provider``."""
    child = node.entries().get("model")
    if child is None or not isinstance(child.value, dict):
        return _text(node, "model")
    model, provider = _text(child, "model"), _text(child, "provider")
    return f"{provider}/{model}" if provider and model and "/" not in model else model


def _cycles(reading: Reading, node: Node, place: str) -> int:
    child = node.entries().get("max_cycles")
    if child is None or child.unset:
        return 1
    try:
        value = float(child.text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        reading.doubt(child, f"{place}.max_cycles is a whole number, not {shown(child)}; 1 is used")
        return 1
    cycles = min(max(round(value), 1), HOOK_CYCLES)
    if cycles != value:
        reading.doubt(child, f"{place}.max_cycles is 1 to {HOOK_CYCLES}; {cycles} is used instead of {shown(child)}")
    return cycles


def _enabled(reading: Reading, node: Node, place: str) -> bool:
    child = node.entries().get("enabled")
    if child is None or child.unset:
        return True
    value = as_bool(child)
    if value is None:
        reading.doubt(child, f"{place}.enabled is true or false, not {shown(child)}; the hook stays off")
    return value or False
