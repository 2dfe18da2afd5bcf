"""The user's own models and corrections: ``catalog`` of the preferences, merged into the shipped entries field by field."""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from stepdown.catalog.compiled import Entry
from stepdown.catalog.names import provider_name
from stepdown.catalog.records import FEATURES, PROTOCOLS, STATUSES, Model, Price, Rates
from stepdown.errors import CatalogError
from stepdown.units import TIERS, Tier

Facts = Mapping[str, object]

KEYS: Final = ("provider", "tier", "context", "output", "price", "features", "protocols", "aliases", "family", "status")
"""What may be said of a model."""

PRICE_KEYS: Final = ("input", "output", "cache_read", "cache_write")
"""What may be said of its price, in US dollars per million tokens."""

_OWN: Final = "the preferences"


def corrected(
    entries: tuple[Entry, ...], extra: Mapping[str, Facts], resolve: Callable[[str, str], Model | None]
) -> tuple[Entry, ...]:
    """`entries` with `extra` applied: new models first, corrected ones in their place.

    Raises `CatalogError` that names ``catalog.<model>.<key>`` and what would be right.
    """
    known = {entry.model.ref: entry for entry in entries}
    own: dict[str, Entry] = {}
    for name, facts in extra.items():
        where = f"catalog.{name}"
        if not isinstance(name, str):  # YAML reads an unquoted 4.1 as a number
            raise CatalogError(f"{where}: a model's name must be text; put it in quotes")
        if not isinstance(facts, Mapping):
            raise CatalogError(f"{where}: must be a mapping like {{provider: anthropic, tier: light}}, not {_shown(facts)}")
        _check_keys(where, facts, KEYS)
        provider = provider_name(_text(where, facts, "provider"))
        model = resolve(name, provider)
        entry = known.get(model.ref) if model is not None else None
        if entry is not None:
            known[entry.model.ref] = _merged(where, entry, facts)
        else:
            added = _merged(where, _new(where, name, provider, facts), facts)
            own[added.model.ref] = added
    result = (*own.values(), *known.values())
    _check_aliases(result, set(own) | {entry.model.ref for entry in entries if known[entry.model.ref] is not entry})
    return result


def _new(where: str, name: str, provider: str, facts: Facts) -> Entry:
    if not provider:
        raise CatalogError(f"{where}.provider: missing; say who sells '{name}', or correct the name if you meant a known model")
    if "tier" not in facts:
        raise CatalogError(f"{where}.tier: missing; must be one of {_words(tuple(map(str, TIERS)))}")
    prefix, slash, rest = name.partition("/")
    bare = rest if slash and provider_name(prefix) == provider else name
    # A model that someone bothers to list is there to do agents' work; `features` says otherwise.
    return Entry(model=Model(id=bare, provider=provider, features=frozenset({"tools"}), source=_OWN))


def _merged(where: str, entry: Entry, facts: Facts) -> Entry:
    changes: dict[str, object] = {}
    if "tier" in facts:
        changes["tier"] = Tier(_one_of(where, "tier", facts["tier"], tuple(map(str, TIERS))))
    if "status" in facts:
        changes["status"] = _one_of(where, "status", facts["status"], STATUSES)
    for key in ("context", "output"):
        if key in facts:
            changes[key] = _tokens(f"{where}.{key}", facts[key])
    if "family" in facts:
        changes["family"] = _text(where, facts, "family")
    if "features" in facts:
        changes["features"] = frozenset(_list(f"{where}.features", facts["features"], tuple(sorted(FEATURES))))
    if "protocols" in facts:
        changes["protocols"] = _list(f"{where}.protocols", facts["protocols"], PROTOCOLS)
    if "aliases" in facts:
        changes["aliases"] = tuple(dict.fromkeys((*entry.model.aliases, *_list(f"{where}.aliases", facts["aliases"], ()))))
    prices = entry.prices
    if "price" in facts:
        prices = (_price(f"{where}.price", entry, facts["price"]),)
    return Entry(model=msgspec.structs.replace(entry.model, **changes), prices=prices)


def _price(where: str, entry: Entry, facts: object) -> Price:
    """The user's word holds for all time and all prompt lengths; what it leaves out stays as it is today."""
    if not isinstance(facts, Mapping):
        raise CatalogError(f"{where}: must be a mapping like {{input: 0.5, output: 2}}, not {_shown(facts)}")
    _check_keys(where, facts, PRICE_KEYS)
    now = entry.model.price.rates if entry.model.price is not None else None
    said = {str(key): _dollars(f"{where}.{key}", value) for key, value in facts.items()}
    missing = [key for key in ("input", "output") if key not in said and now is None]
    if missing:
        raise CatalogError(f"{where}.{missing[0]}: missing; US dollars per million tokens, such as 0.5")
    return Price(rates=Rates(**({} if now is None else msgspec.structs.asdict(now)) | said), source=_OWN)


def _check_keys(where: str, facts: Mapping[Any, object], allowed: tuple[str, ...]) -> None:
    for key in facts:
        if key not in allowed:
            raise CatalogError(f"{where}.{key}: unknown key; {_hint(str(key), allowed)}")


def _check_aliases(entries: tuple[Entry, ...], touched: Collection[str]) -> None:
    """An alias must not take a name that another model has; silently shadowing it would reroute work."""
    owners: dict[str, list[str]] = {}
    for entry in entries:
        for name in (entry.model.id, *entry.model.aliases):
            owners.setdefault(name, []).append(entry.model.ref)
    for model in (entry.model for entry in entries if entry.model.ref in touched):
        for alias in model.aliases:
            others = [ref for ref in owners[alias] if ref != model.ref]
            if others:
                raise CatalogError(f"catalog.{model.id}.aliases: '{alias}' is already a name of {others[0]}")


def _text(where: str, facts: Facts, key: str) -> str:
    value = facts.get(key, "")
    if not isinstance(value, str):
        raise CatalogError(f"{where}.{key}: must be text, not {_shown(value)}")
    return value


def _tokens(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise CatalogError(f"{where}: must be a whole number of tokens above 0, such as 128000, not {_shown(value)}")
    return value


def _dollars(where: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise CatalogError(f"{where}: must be US dollars per million tokens, 0 or more, such as 0.5, not {_shown(value)}")
    return float(value)


def _one_of(where: str, key: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise CatalogError(f"{where}.{key}: must be one of {_words(allowed)}, not {_shown(value)}")
    return value


def _list(where: str, value: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """A list of words, each from `allowed` unless that is empty."""
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) and word for word in value):
        raise CatalogError(f"{where}: must be a list of words, not {_shown(value)}")
    for word in value:
        if allowed and word not in allowed:
            raise CatalogError(f"{where}: unknown '{word}'; {_hint(word, allowed)}")
    return tuple(value)


def _hint(word: str, allowed: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"did you mean '{close[0]}'?" if close else f"possible are {_words(allowed)}"


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r:.40}"
