"""The models there are, found by name in constant time. Immutable; made once per start by `Catalog.load`."""

import datetime as dt
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

import msgspec

from stepdown.catalog import compiled
from stepdown.catalog.compiled import Entry
from stepdown.catalog.corrections import corrected
from stepdown.catalog.names import provider_name, split_window, without_date
from stepdown.catalog.records import Model, Price
from stepdown.units import TIERS, Tier

_NEAREST_CUTOFF: Final = 0.6
"""difflib's own default: how alike two names must be before one is offered for the other."""


class Catalog:
    """The models that are known, with the prices of one day.

    Attributes:
        models: all of them, vendors' before resellers' before local ones; the user's own first.
    """

    __slots__ = ("_entries", "_exact", "_folded", "_refs", "_sold", "_tiers", "models")

    models: tuple[Model, ...]

    def __init__(self, entries: Iterable[Entry], *, on: str) -> None:
        dated = [
            Entry(model=msgspec.structs.replace(entry.model, price=entry.price_on(on)), prices=entry.prices)
            for entry in entries
        ]
        self.models = tuple(entry.model for entry in dated)
        self._entries = {entry.model.ref: entry for entry in dated}
        self._refs = {model.ref: model for model in self.models}
        # Ids go before aliases, and what stands first in the catalogue before what follows: the vendor is a name's home.
        named = [(model.id, model) for model in self.models]
        named += [(alias, model) for model in self.models for alias in model.aliases]
        self._exact: dict[str, Model] = {}
        self._folded: dict[str, Model] = {}
        self._sold: dict[tuple[str, str], Model] = {}
        for name, model in named:
            self._exact.setdefault(name, model)
            self._folded.setdefault(name.lower(), model)
            self._sold.setdefault((model.provider, name.lower()), model)
        self._tiers = {tier: tuple(model for model in self.models if _eligible(model, tier)) for tier in TIERS}

    @classmethod
    def load(cls, extra: Mapping[str, Mapping[str, object]] = {}, *, on: str = "") -> Self:
        """The catalogue that ships with stepdown, with the user's own models and corrections.

        Args:
            extra: ``catalog`` of the preferences, as written.
            on: the ISO date whose prices count; "" is today.

        Raises:
            CatalogError: `extra` has a mistake, or the shipped file is broken.
        """
        on = on or dt.datetime.now(dt.UTC).date().isoformat()
        shipped = cls(compiled.read().entries, on=on)
        if not extra:
            return shipped
        return cls(corrected(tuple(shipped._entries.values()), extra, shipped.resolve), on=on)

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        return f"<Catalog of {len(self.models)} models>"

    def resolve(self, name: str, provider: str = "") -> Model | None:
        """The model that `name` stands for; None where it is unknown. Never by a part of a name.

        In this order: a provider-qualified id, an id, an alias, an id or alias behind a provider's prefix; then all of that
        again without a date suffix. Letter case is ignored where nothing matches exactly. A name that several sell means the
        vendor's own. With ``[1m]`` at its end the name stands for the same model with that window, if it has one that large;
        the suffix stays in the result's id, and `Model.bare_id` is without it.

        Args:
            name: as the user or a request wrote it.
            provider: who must sell it; "" is anyone.
        """
        name = name.strip()
        bare, window = split_window(name)
        seller = provider_name(provider)
        if window and (own := self._find(name, seller)):
            return own  # a model of the user's own may have such an id
        model = self._find(bare, seller)
        if model is None and (undated := without_date(bare)):
            model = self._find(undated, seller)
        if model is None or not window:
            return model
        if model.context is None or model.context < window:
            return None
        suffix = name[len(bare) :].lower()
        return msgspec.structs.replace(model, id=model.id + suffix, context=window, aliases=())

    def find_ref(self, ref: str) -> Model | None:
        """The model of a provider-qualified name as `Model.ref` writes it: ``anthropic/claude-sonnet-4-6``."""
        provider, slash, name = ref.partition("/")
        return self._refs.get(ref) or (self.resolve(name, provider) if slash and provider else None)

    def nearest(self, name: str) -> str | None:
        """The known name most like `name`, for a warning; None where nothing is alike."""
        folded = name.strip().lower()
        close = difflib.get_close_matches(folded, self._folded, n=1, cutoff=_NEAREST_CUTOFF)
        if not close and "/" in folded:
            close = difflib.get_close_matches(folded.partition("/")[2], self._folded, n=1, cutoff=_NEAREST_CUTOFF)
        return self._as_written(close[0]) if close else None

    def of_tier(self, tier: Tier) -> tuple[Model, ...]:
        """The current models of a tier that can use tools: what routing may choose from."""
        return self._tiers[tier]

    def price_on(self, model: Model, day: str) -> Price | None:
        """What `model` cost on an ISO date; None where that is unknown."""
        entry = self._entries.get(model.ref) or self._entries.get(f"{model.provider}/{model.bare_id}")
        return entry.price_on(day) if entry is not None else None

    def _find(self, name: str, seller: str) -> Model | None:
        folded = name.lower()
        prefix, slash, rest = folded.partition("/")
        if seller:
            same = slash and provider_name(prefix) == seller
            return self._sold.get((seller, folded)) or (self._sold.get((seller, rest)) if same else None)
        return (
            self._refs.get(name)
            or self._exact.get(name)
            or self._folded.get(folded)
            or (self._sold.get((provider_name(prefix), rest)) if slash else None)
        )

    def _as_written(self, folded: str) -> str:
        model = self._folded[folded]
        return next(name for name in (model.id, *model.aliases) if name.lower() == folded)


def _eligible(model: Model, tier: Tier) -> bool:
    return model.tier is tier and model.status == "current" and "tools" in model.features


def load_catalog(extra: Mapping[str, Mapping[str, object]] = {}, *, on: str = "") -> Catalog:
    """`Catalog.load`, for those who prefer a function."""
    return Catalog.load(extra, on=on)
