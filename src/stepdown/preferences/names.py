"""The models that preferences name, held against the catalogue (SPEC 5): unknown is a state, never a guess."""

from typing import TYPE_CHECKING, Protocol

import msgspec

from stepdown.preferences.schema import ModelChoice, Preferences

if TYPE_CHECKING:  # reading preferences does not load the catalogue
    from stepdown.catalog.records import Model


class ModelNames(Protocol):
    """What is asked of a catalogue here."""

    def resolve(self, name: str, provider: str = "") -> "Model | None":
        """The model of that name; None where it is unknown."""
        ...

    def nearest(self, name: str) -> str | None:
        """The name that may be meant."""
        ...


def check_models(preferences: Preferences, catalog: ModelNames) -> Preferences:
    """The same preferences, with a warning for each model that is neither in `catalog` nor in their own ``catalog`` section.

    In ``tier_models`` and ``fallbacks`` such a model is left out. In ``models``, as a hook's and as the pin it stays: it is
    used as named and never rerouted.
    """
    return _Check(preferences, catalog).run()


class _Check:
    def __init__(self, preferences: Preferences, catalog: ModelNames) -> None:
        self.preferences = preferences
        self.catalog = catalog
        self.warnings: list[str] = []

    def run(self) -> Preferences:
        preferences = self.preferences
        models = {}
        for phase, choice in preferences.models.items():
            key = f"models.{phase}"
            self._known(choice.model, choice.provider, key, "it is used as named and never rerouted")
            models[phase] = self._with_known_fallbacks(choice, key)
        tier_models = {}
        for tier, choice in preferences.dynamic_routing.tier_models.items():
            key = f"dynamic_routing.tier_models.{tier}"
            if self._known(choice.model, choice.provider, key, "it is left out"):
                tier_models[tier] = self._with_known_fallbacks(choice, key)
        for key, hooks in (
            ("post_unit_hooks", preferences.post_unit_hooks),
            ("pre_dispatch_hooks", preferences.pre_dispatch_hooks),
        ):
            for hook in hooks:
                if hook.model:
                    self._known(hook.model, "", key, f"the hook '{hook.name}' uses it as named")
        for number, budget in enumerate(preferences.budgets):
            if budget.model:
                self._known(budget.model, "", f"budgets[{number}].model", "this budget counts nothing")
        if preferences.pin and preferences.pin not in {"light", "standard", "heavy"}:
            self._known(preferences.pin, "", "pin", "it is used as named")
        return msgspec.structs.replace(
            preferences,
            models=models,
            dynamic_routing=msgspec.structs.replace(preferences.dynamic_routing, tier_models=tier_models),
            warnings=(*preferences.warnings, *self.warnings),
        )

    def _with_known_fallbacks(self, choice: ModelChoice, key: str) -> ModelChoice:
        place = f"{key}.fallbacks"
        known = tuple(name for name in choice.fallbacks if self._known(name, "", place, "it is left out"))
        return msgspec.structs.replace(choice, fallbacks=known)

    def _known(self, name: str, provider: str, key: str, consequence: str) -> bool:
        own = self.preferences.catalog
        if name in own or name.partition("/")[2] in own or self.catalog.resolve(name, provider) is not None:
            return True
        near = self.catalog.nearest(name)
        hint = f" (did you mean '{near}'?)" if near else ""
        seller = f" of {provider}" if provider else ""
        where = self.preferences.origins.get(key)
        place = f"{where}: " if where else ""
        self.warnings.append(f"{place}{key}: the catalogue knows no model '{name}'{seller}{hint}; {consequence}")
        return False
