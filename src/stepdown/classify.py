"""`Signals` → `Classification`: how hard a unit is, why, and what would flip it (SPEC sections 2 and 3). Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepdown.decision import Classification
from stepdown.policy import Policy
from stepdown.signals import KEYWORDS, Signals
from stepdown.units import Tier, Unit

INTROSPECTED: Final = frozenset({"execute-task", "reactive-execute"})
"""Unit types whose plan decides their tier."""

SCOPED: Final = frozenset({"plan-slice", "refine-slice"})
"""Unit types that the scope of their slice may make heavy."""

LIGHT_TAGS: Final[Mapping[str, str]] = {
    "docs": "documentation",
    "config": "configuration",
    "rename": "a rename",
    "typo": "a typo",
}
"""Kinds of work that are light when they are small, as the screen calls them."""

_HEAVY: Final = (
    ("files", "heavy_files", "writes {}", "file"),
    ("steps", "heavy_steps", "has {}", "step"),
    ("dependencies", "heavy_dependencies", "waits for {}", "other unit"),
    ("lines", "heavy_lines", "writes about {} of code", "line"),
)
_STRUCTURAL: Final = ("files", "steps", "dependencies")
_MANY_REASONS: Final = 3


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """A smallest change that changes the answer.

    Attributes:
        changes: per field of `Signals`, the value that flips it; several only where no single one does.
        tier: what it would be then.
        text: the same in plain words.
    """

    changes: Mapping[str, Any]
    tier: Tier
    text: str


def classify(unit: Unit, signals: Signals, policy: Policy) -> Classification:
    """How hard `unit` is: its type's default, or what its signals say where the type is one that has signals."""
    tag = ""
    if unit.type in INTROSPECTED:
        tag = signals.tags[0] if signals.tags else ""
        tier, reason, confidence = _task(signals, policy)
    elif unit.type in SCOPED:
        tier, reason, confidence = _scope(unit, signals, policy)
    else:
        tier, reason, confidence = unit.default_tier, f"{unit.default_tier} by default ({unit.type})", 0.0
    return Classification(tier=tier, reason=reason, signals=signals.as_mapping(), confidence=confidence, tag=tag)


def pattern(unit: Unit, classification: Classification) -> str:
    """What learning files the unit under: ``execute-task``, ``execute-task:docs``."""
    return f"{unit.type}:{classification.tag}" if classification.tag else unit.type


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _task(signals: Signals, policy: Policy) -> tuple[Tier, str, float]:
    """Heavy first, then light, else standard: size outvotes every tag."""
    heavy = _heavy_reasons(signals, policy)
    if heavy:
        structural = sum(name != "lines" for name, _ in heavy if name in _STRUCTURAL)
        confidence = min(0.9, 0.4 + 0.2 * structural)
        return Tier.HEAVY, "; ".join(text for _, text in heavy[:_MANY_REASONS]), round(confidence, 2)
    known = _size(signals)
    light = _light_reason(signals, policy) if known and not signals.malformed else ""
    if light:
        return Tier.LIGHT, light, 0.7 if len(known) > 1 else 0.5
    notes = f" ({'; '.join(signals.notes[:_MANY_REASONS])})" if signals.notes else ""
    if not known:
        found = "the plan says nothing of its size" if signals.characters else "there is no plan to read"
        return Tier.STANDARD, f"{found}, so standard{notes}", 0.0
    size = " and ".join(known)
    if signals.malformed:
        return Tier.STANDARD, f"{size} as far as the plan can be read, so standard{notes}", 0.2
    return Tier.STANDARD, f"{size} (neither small enough for light nor large enough for heavy){notes}", 0.3 + 0.2 * len(known)


def _size(signals: Signals) -> list[str]:
    """What is known of it: ``["2 files", "1 step"]``."""
    known = [] if signals.files is None else [_count(signals.files, "file")]
    if signals.steps is not None:
        known.append(_count(signals.steps, "step"))
    return known


def _heavy_reasons(signals: Signals, policy: Policy) -> list[tuple[str, str]]:
    """Per signal that makes it heavy, the reason."""
    reasons = []
    for name, threshold, phrase, noun in _HEAVY:
        value = getattr(signals, name)
        if value is not None and value >= (limit := getattr(policy, threshold)):
            reasons.append((name, f"{phrase.format(_count(value, noun))} ({limit} or more is heavy)"))
    if len(signals.groups) >= policy.heavy_keyword_groups:
        named = ", ".join(signals.groups)
        reasons.append(("groups", f"touches {named} ({policy.heavy_keyword_groups} or more such concerns is heavy)"))
    return reasons


def _light_reason(signals: Signals, policy: Policy) -> str:
    """Why it is light; "" where it is not. What the plan does not say is never taken for small on its own."""
    files, steps = signals.files, signals.steps
    if (files or 0) > policy.light_files or (steps or 0) > policy.light_steps:
        return ""
    tag = next((tag for tag in signals.tags if tag in LIGHT_TAGS), "")
    if tag:
        size = " and ".join(_size(signals))
        return f"{LIGHT_TAGS[tag]}, {size} (at most {policy.light_files} files and {policy.light_steps} steps is light)"
    if files == 1 and steps is not None and not signals.created:
        which = "one existing file" if signals.modified else "one file, not said to be new,"
        return f"changes {which} in {_count(steps, 'step')} (at most {policy.light_steps} is light)"
    return ""


def _scope(unit: Unit, signals: Signals, policy: Policy) -> tuple[Tier, str, float]:
    """A slice that is large, much researched or risky is planned on heavy."""
    reasons = []
    if signals.slice_tasks is not None and signals.slice_tasks >= policy.plan_slice_heavy_tasks:
        reasons.append(f"the slice has {signals.slice_tasks} tasks ({policy.plan_slice_heavy_tasks} or more is heavy)")
    if signals.research_lines is not None and signals.research_lines > policy.plan_slice_heavy_research_lines:
        limit = policy.plan_slice_heavy_research_lines
        reasons.append(f"its research has {signals.research_lines} lines (more than {limit} is heavy)")
    if signals.risk == "high":
        reasons.append("the roadmap calls the slice high risk")
    if reasons:
        return Tier.HEAVY, "; ".join(reasons), min(0.9, 0.4 + 0.2 * len(reasons))
    known = signals.slice_tasks is not None or signals.research_lines is not None or signals.risk is not None
    why = "a slice of ordinary scope" if known else "nothing is known of the slice's scope"
    return unit.default_tier, f"{why}, so {unit.default_tier}", 0.5 if known else 0.0


def flips(unit: Unit, signals: Signals, classification: Classification, policy: Policy) -> tuple[str, ...]:
    """What would flip the classification, in plain words, the smallest changes first; each was tried, so each is true."""
    return tuple(flip.text for flip in find_flips(unit, signals, classification, policy))


def find_flips(unit: Unit, signals: Signals, classification: Classification, policy: Policy) -> tuple[Flip, ...]:
    """The same with the changed signals, so that a program can apply them."""
    tier = classification.tier
    found: list[Flip] = []
    for name, values in _candidates(unit, signals, policy):
        for value in values:
            changed = _reclassify(unit, signals, {name: value}, policy)
            if changed is not tier:
                text = f"{_said(name, getattr(signals, name), value)} would make it {changed}"
                found.append(Flip(changes={name: value}, tier=changed, text=text))
                break
    return tuple(found) or _joint(unit, signals, tier, policy)


def _reclassify(unit: Unit, signals: Signals, changes: Mapping[str, Any], policy: Policy) -> Tier:
    return classify(unit, msgspec.structs.replace(signals, **changes), policy).tier


def _candidates(unit: Unit, signals: Signals, policy: Policy) -> Iterator[tuple[str, Sequence[Any]]]:
    """Per signal the values worth trying, the nearest first. Downwards and upwards are separate questions."""
    if unit.type in SCOPED:
        yield from _around("slice_tasks", signals, (policy.plan_slice_heavy_tasks,))
        yield from _around("research_lines", signals, (policy.plan_slice_heavy_research_lines + 1,))
        yield "risk", ("low",) if signals.risk == "high" else ("high",)
    elif unit.type in INTROSPECTED:
        yield from _around("files", signals, (2, policy.light_files + 1, policy.heavy_files))
        yield from _around("steps", signals, (policy.light_steps + 1, policy.heavy_steps))
        yield from _around("dependencies", signals, (policy.heavy_dependencies,))
        yield from _around("lines", signals, (policy.heavy_lines,))
        others = [group for group in KEYWORDS if group not in signals.groups]
        missing = policy.heavy_keyword_groups - len(signals.groups)
        yield (
            "groups",
            [signals.groups[: policy.heavy_keyword_groups - 1] if missing <= 0 else (*signals.groups, *others[:missing])],
        )
        yield "tags", [() if signals.tags else ("docs",)]
        yield "created", [None if signals.created else 1]


def _around(name: str, signals: Signals, edges: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """An edge is the first value on its upper side: from below it is crossed at the edge, from above one before it."""
    value = getattr(signals, name)
    if value is not None:
        yield name, [edge - 1 for edge in sorted(edges, reverse=True) if edge <= value]
    yield name, [edge for edge in sorted(edges) if value is None or edge > value]


_NOUNS: Final = {
    "files": "file",
    "steps": "step",
    "dependencies": "dependency",
    "lines": "line of code",
    "slice_tasks": "task in the slice",
    "research_lines": "line of research",
}
_PLURALS: Final = {
    "files": "files",
    "steps": "steps",
    "dependencies": "dependencies",
    "lines": "lines of code",
    "slice_tasks": "tasks in the slice",
    "research_lines": "lines of research",
}


def _said(name: str, before: Any, after: Any) -> str:
    """One change in plain words: ``one file fewer (5 instead of 6)``."""
    if name == "tags":
        return "documentation, configuration, rename or typo work of this size" if after else "the same work without its tag"
    if name == "groups":
        if len(after) < len(before):
            return f"touching {'only ' + after[0] if after else 'none of ' + ', '.join(before)}"
        added = after[len(before) :]
        return f"touching {' and '.join(added)} as well" if before else f"touching {' and '.join(added)}"
    if name == "created":
        return "a file that exists already" if after is None else "a new file instead of an existing one"
    if name == "risk":
        return f"{after} risk in the roadmap"
    if before is None:
        return f"{after} {_NOUNS[name] if after == 1 else _PLURALS[name]} (the plan does not say how many)"
    distance = abs(after - before)
    number = "one" if distance == 1 else str(distance)
    noun = _NOUNS[name] if distance == 1 else _PLURALS[name]
    return (
        f"{number} {noun} fewer ({after} instead of {before})"
        if after < before
        else f"{number} more {noun} ({after} instead of {before})"
    )


def _joint(unit: Unit, signals: Signals, tier: Tier, policy: Policy) -> tuple[Flip, ...]:
    """Where several signals hold it up together, what all of them would have to be."""
    changes: dict[str, Any] = {}
    for name, values in _candidates(unit, signals, policy):
        before = getattr(signals, name)
        smaller = [value for value in values if before is not None and name in _NOUNS and value < before]
        if name in {"groups", "risk"} and before and (name == "groups" or before == "high"):
            smaller = [value for value in values if value == "low" or len(value) < len(before)]
        if smaller and _reclassify(unit, Signals(**{name: before}), {}, policy) is Tier.HEAVY:
            changes[name] = smaller[0]
    if not changes:
        return ()
    changed = _reclassify(unit, signals, changes, policy)
    if changed is tier:
        return ()
    text = " and ".join(_said(name, getattr(signals, name), value) for name, value in changes.items())
    return (Flip(changes=changes, tier=changed, text=f"{text} would make it {changed}"),)
