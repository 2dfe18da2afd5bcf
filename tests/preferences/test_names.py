"""Unknown models: warned about with the nearest name, ignored as tier models and fallbacks, used as named elsewhere."""

import difflib
from pathlib import Path

from stepdown.catalog.records import Model
from stepdown.preferences.load import load_preferences
from stepdown.preferences.schema import ModelChoice
from stepdown.units import Tier


class Shelf:
    """A catalogue of two models: all that loading asks of one."""

    models = {name: Model(id=name, provider="anthropic") for name in ("claude-sonnet-4-6", "claude-haiku-4-5")}  # noqa: RUF012 -- read only

    def resolve(self, name: str, provider: str = "") -> Model | None:
        return self.models.get(name) if provider in {"", "anthropic"} else None

    def nearest(self, name: str) -> str | None:
        return next(iter(difflib.get_close_matches(name, self.models, n=1)), None)


def test_unknown_models(project: Path, home: Path) -> None:
    (project / "stepdown.yaml").write_text(
        "models:\n"
        "  planning: {model: claude-sonet-4-6, fallbacks: [claude-haiku-4-5, glm-5, mine]}\n"
        "  execution: {model: claude-sonnet-4-6, provider: bedrock}\n"
        "dynamic_routing:\n"
        "  tier_models:\n"
        "    light: claude-haiku-4.5\n"
        "    standard: claude-sonnet-4-6\n"
        "    heavy: local/mine\n"
        "pin: other\n"
        "post_unit_hooks: [{name: a, after: [x], prompt: y, model: another}]\n"
        "catalog: {mine: {tier: light}}\n"
    )
    preferences = load_preferences(project, home=home, catalog=Shelf())
    assert preferences.models == {
        "planning": ModelChoice("claude-sonet-4-6", "", ("claude-haiku-4-5", "mine")),
        "execution": ModelChoice("claude-sonnet-4-6", "bedrock"),
    }
    assert preferences.dynamic_routing.tier_models == {
        Tier.STANDARD: ModelChoice("claude-sonnet-4-6"),
        Tier.HEAVY: ModelChoice("local/mine"),
    }
    named, out = "it is used as named and never rerouted", "it is left out"
    sonnet, haiku = "(did you mean 'claude-sonnet-4-6'?)", "(did you mean 'claude-haiku-4-5'?)"
    known = "the catalogue knows no model"
    assert preferences.warnings == (
        f"stepdown.yaml:2: models.planning: {known} 'claude-sonet-4-6' {sonnet}; {named}",
        f"stepdown.yaml:2: models.planning.fallbacks: {known} 'glm-5'; {out}",
        f"stepdown.yaml:3: models.execution: {known} 'claude-sonnet-4-6' of bedrock {sonnet}; {named}",
        f"stepdown.yaml:6: dynamic_routing.tier_models.light: {known} 'claude-haiku-4.5' {haiku}; {out}",
        f"stepdown.yaml:10: post_unit_hooks: {known} 'another'; the hook 'a' uses it as named",
        f"stepdown.yaml:9: pin: {known} 'other'; it is used as named",
    )


def test_a_pinned_tier_is_no_unknown_model(project: Path, home: Path) -> None:
    (project / "stepdown.yaml").write_text("pin: light\n")
    assert load_preferences(project, home=home, catalog=Shelf()).warnings == ()
