"""What the user wants, from files on disk: load, merge, validate, and where each value came from."""

from stepdown.preferences.load import load_preferences
from stepdown.preferences.names import check_models
from stepdown.preferences.schema import (
    AgentSettings,
    Budget,
    DynamicRouting,
    ModelChoice,
    PhaseSkips,
    Preferences,
    ProviderSettings,
)

__all__ = [
    "AgentSettings",
    "Budget",
    "DynamicRouting",
    "ModelChoice",
    "PhaseSkips",
    "Preferences",
    "ProviderSettings",
    "check_models",
    "load_preferences",
]
