"""The preferences as they would be with something else in them: another file's sections, a price list, single settings.

For ``stepdown simulate``, which asks what such preferences would have done; nothing is written.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stepdown.catalog.corrections import KEYS, PRICE_KEYS
from stepdown.errors import PreferencesError
from stepdown.policy import Policy
from stepdown.preferences.document import Document, Node, parse_document, read_document
from stepdown.preferences.load import preferences_of, read_documents
from stepdown.preferences.merge import ALIAS, merged, spell_out
from stepdown.preferences.names import ModelNames
from stepdown.preferences.reading import nearest, record_fields
from stepdown.preferences.schema import DynamicRouting, Preferences
from stepdown.preferences.validate import SECTIONS

_SHORT: Final[dict[str, tuple[str, ...]]] = {
    **{name: ("dynamic_routing", "thresholds", name) for name in record_fields(Policy)},
    **{name: ("dynamic_routing", name) for name in (*record_fields(DynamicRouting), "thresholds")},
}
"""Keys inside ``dynamic_routing`` that may stand without it, and thresholds that may stand alone."""

_MODEL_FACT: Final = tuple(
    re.compile(rf"(?P<model>.+?)\.(?P<fact>{fact})") for fact in (rf"price\.(?:{'|'.join(PRICE_KEYS)})", "|".join(KEYS))
)
"""A model's name may have dots of its own (``gpt-4.1``), so what is said of it is read from the end."""


def load_changed(
    project: Path,
    *,
    replacing: Path | None = None,
    prices: Path | None = None,
    settings: Sequence[str] = (),
    catalog: ModelNames | None = None,
    home: Path | None = None,
) -> Preferences:
    """The preferences of a project, changed. The later of the three changes wins over the earlier.

    Args:
        project: see `load_preferences`.
        replacing: a preferences file of either format; each top-level section in it takes the place of the present one, whole.
        prices: a file in the shape of ``catalog``: per model ``price: {input, output, cache_read, cache_write}`` in US dollars
            per million tokens; what it leaves out stays. It may also have ``catalog:`` around it.
        settings: ``KEY=VALUE``, each with a dotted key of the preferences and a value as YAML writes it.
        catalog: see `load_preferences`.
        home: see `load_preferences`.

    Raises:
        PreferencesError: a file is not there or cannot be read, a key is unknown, a value is wrong; one line per problem.
    """
    documents = list(read_documents(project, home=home))
    root = merged([Node({}, "", 0), *(spell_out(document.root) for document in documents)])
    if replacing is not None:
        document = _document(replacing, "preferences")
        documents.insert(0, document)
        root = Node({**root.entries(), **spell_out(document.root).entries()}, document.name, 1)
    if prices is not None:
        document = _document(prices, "price list")
        documents.insert(0, document)
        root = _with_prices(root, document)
    for setting in settings:
        root = _with_setting(root, setting)
    try:
        return preferences_of(root, documents, catalog)
    except PreferencesError as error:
        raise PreferencesError(_placeless(error)) from error


_OPTION: Final = "--set "


def _document(path: Path, what: str) -> Document:
    document = read_document(path, str(path))
    if document is None:
        raise PreferencesError(f"{path}: there is no such {what} file")
    return document


def _with_prices(root: Node, document: Document) -> Node:
    models = document.root.entries()
    models = models["catalog"].entries() if set(models) == {"catalog"} else models
    if not models:
        raise PreferencesError(f"{document.name}: no prices in it; write 'MODEL: {{price: {{input: 0.5, output: 2}}}}'")
    for model, facts in models.items():
        if not isinstance(facts.value, dict):
            raise PreferencesError(
                f"{facts.where}: '{model}' is a model with facts such as 'price: {{input: 0.5, output: 2}}', not a single value"
            )
        for name, fact in facts.entries().items():
            for path, leaf in _leaves((name,), fact):
                root = _with_leaf(root, ("catalog", model, *path), leaf)
    return root


def _leaves(path: tuple[str, ...], node: Node) -> list[tuple[tuple[str, ...], Node]]:
    """A price is merged part by part; everything else is one value."""
    if path == ("price",) and isinstance(node.value, dict):
        return [((*path, name), child) for name, child in node.entries().items()]
    return [(path, node)]


def _with_setting(root: Node, setting: str) -> Node:
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not key:
        raise PreferencesError(f"{_OPTION}{setting}: KEY=VALUE is meant, such as thresholds.heavy_steps=12")
    origin = f"{_OPTION}{key}"
    path = _path(key)
    try:
        value = parse_document(f"value: {text}", origin).entries()["value"]
    except PreferencesError as error:
        raise PreferencesError(_placeless(error)) from error
    return _with_leaf(root, path, value)


def _placeless(error: PreferencesError) -> str:
    """What is wrong with an option, which unlike a file has no lines."""
    return re.sub(rf"(?m)^({_OPTION}\S*):\d+: ", r"\1: ", str(error))


def _path(key: str) -> tuple[str, ...]:
    """The keys on the way to a setting.

    Raises:
        PreferencesError: its first is none of ours; what is wrong further on is said where sections are read.
    """
    if key == ALIAS:
        return ("dynamic_routing", "enabled")
    first, _, rest = key.partition(".")
    if first == "catalog":
        for pattern in _MODEL_FACT:
            found = pattern.fullmatch(rest)
            if found is not None:
                return (first, found["model"], *found["fact"].split("."))
        raise PreferencesError(f"{_OPTION}{key}: catalog.MODEL.FACT is meant, such as catalog.gpt-5-mini.price.input=0.2")
    if first not in SECTIONS and first not in _SHORT:
        near = nearest(first, (*SECTIONS, *_SHORT))
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(sorted(SECTIONS))}"
        raise PreferencesError(f"{_OPTION}{key}: '{first}' is not a key that stepdown knows; {hint}")
    return (*_SHORT.get(first, (first,)), *rest.split(".")) if rest else _SHORT.get(first, (first,))


def _with_leaf(node: Node, path: tuple[str, ...], leaf: Node) -> Node:
    """The same tree with one value in it replaced, or added."""
    if not path:
        return leaf
    below = node.entries().get(path[0]) or Node({}, leaf.file, leaf.line)
    return Node({**node.entries(), path[0]: _with_leaf(below, path[1:], leaf)}, node.file or leaf.file, node.line or leaf.line)
