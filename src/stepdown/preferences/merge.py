"""Several files become one tree: the stronger wins key by key, and what is unset in it leaves the weaker alone."""

from collections.abc import Iterable
from functools import reduce
from typing import Final

from stepdown.errors import PreferencesError
from stepdown.preferences.document import Node

ALIAS: Final = "dynamic_model_routing"
_WORDS: Final = {"yes": True, "on": True, "no": False, "off": False}
_DEPTH: Final = 3
_DEPTHS: Final = {"models": 2}
"""How many levels of mappings merge. A model with its provider and fallbacks, or a price, is one value: never half of each."""


def as_bool(node: Node) -> bool | None:
    """True or false as YAML users write them: also yes, no, on, off without quotes, and "true" with; None for all else."""
    if isinstance(node.value, bool):
        return node.value
    if not isinstance(node.value, str):
        return None
    if node.plain:
        return _WORDS.get(node.value.lower())
    return {"true": True, "false": False}.get(node.value)


def spell_out(root: Node) -> Node:
    """The same tree with ``dynamic_model_routing`` written as ``dynamic_routing.enabled``.

    Raises:
        PreferencesError: it is neither true nor false, or differs from ``dynamic_routing.enabled`` in the same file.
    """
    entries = dict(root.entries())
    alias = entries.pop(ALIAS, None)
    if alias is None or alias.unset:
        return Node(entries, root.file, root.line)
    wanted = as_bool(alias)
    if wanted is None:
        raise PreferencesError(f"{alias.where}: {ALIAS} is true or false, nothing else")
    section = entries.get("dynamic_routing")
    if section is not None and not section.unset and not section.entries():
        return Node(entries, root.file, root.line)  # not a section at all: reported where sections are read
    inner = dict(section.entries()) if section is not None else {}
    said = inner.get("enabled")
    if said is not None and not said.unset:
        if as_bool(said) not in {wanted, None}:
            raise PreferencesError(
                f"{alias.where}: {ALIAS} and dynamic_routing.enabled (line {said.line}) say different things; keep one of them"
            )
    else:
        inner["enabled"] = alias
    line = section.line if section is not None and not section.unset else alias.line
    entries["dynamic_routing"] = Node(inner, root.file, line)
    return Node(entries, root.file, root.line)


def merged(roots: Iterable[Node]) -> Node:
    """One tree out of several, the strongest first; at least one."""
    return reduce(_over, roots)


def _over(strong: Node, weak: Node) -> Node:
    entries = dict(weak.entries())
    for key, node in strong.entries().items():
        below = entries.get(key)
        entries[key] = node if below is None else _stronger(node, below, _DEPTHS.get(key, _DEPTH) - 1)
    return Node(entries, strong.file, strong.line)


def _stronger(strong: Node, weak: Node, depth: int) -> Node:
    if strong.unset and not weak.unset:
        return weak
    if depth == 0 or not isinstance(strong.value, dict) or not isinstance(weak.value, dict):
        return strong
    entries = dict(weak.value)
    for key, node in strong.value.items():
        below = entries.get(key)
        entries[key] = node if below is None else _stronger(node, below, depth - 1)
    return Node(entries, strong.file, strong.line)
