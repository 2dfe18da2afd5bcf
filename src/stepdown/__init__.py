"""stepdown runs every unit of coding-agent work on the cheapest model that can do it, never on a dearer one than you chose.

The names below are the public ones; each is imported when it is first used, so that ``import stepdown`` costs nothing.

    >>> from stepdown import Catalog, Preferences, Router, Unit
    >>> router = Router(Preferences(), Catalog.load())
    >>> router.decide(Unit("complete-slice")).tier
    <Tier.LIGHT: 'light'>
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stepdown.catalog import Catalog as Catalog
    from stepdown.catalog import Model as Model
    from stepdown.decision import Context as Context
    from stepdown.decision import Decision as Decision
    from stepdown.decision import Meter as Meter
    from stepdown.decision import Retry as Retry
    from stepdown.dispatch.dispatcher import Dispatcher as Dispatcher
    from stepdown.errors import StepdownError as StepdownError
    from stepdown.ledger import open_ledger as open_ledger
    from stepdown.plans import GsdPlan as GsdPlan
    from stepdown.preferences import DynamicRouting as DynamicRouting
    from stepdown.preferences import ModelChoice as ModelChoice
    from stepdown.preferences import Preferences as Preferences
    from stepdown.preferences import load_preferences as load_preferences
    from stepdown.routing import Router as Router
    from stepdown.units import Phase as Phase
    from stepdown.units import PlanText as PlanText
    from stepdown.units import Tier as Tier
    from stepdown.units import Tokens as Tokens
    from stepdown.units import Unit as Unit

_HOMES: Final = {
    "Catalog": "catalog",
    "Context": "decision",
    "Decision": "decision",
    "Dispatcher": "dispatch.dispatcher",
    "DynamicRouting": "preferences",
    "GsdPlan": "plans",
    "Meter": "decision",
    "Model": "catalog",
    "ModelChoice": "preferences",
    "Phase": "units",
    "PlanText": "units",
    "Preferences": "preferences",
    "Retry": "decision",
    "Router": "routing",
    "StepdownError": "errors",
    "Tier": "units",
    "Tokens": "units",
    "Unit": "units",
    "load_preferences": "preferences",
    "open_ledger": "ledger",
}

__all__ = [  # noqa: PLE0604  (the names of `_HOMES`, each once; a test compares)
    *_HOMES
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'stepdown' has no attribute '{name}'")
    value: object = getattr(importlib.import_module(f"stepdown.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*globals(), *_HOMES))
