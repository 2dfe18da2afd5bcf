"""What is tried, what is proposed, and what is not although it would have saved."""

import msgspec
import pytest
from history import lived, mixed, past_of, preferences

from stepdown.catalog import Catalog
from stepdown.errors import PreferencesError
from stepdown.ledger import Ledger
from stepdown.policy import Policy
from stepdown.preferences import ModelChoice, Preferences
from stepdown.replay.suggest import CHOICES, GRID, MINIMUM, Option, Suggestion, Tried, options, suggest
from stepdown.replay.world import World
from stepdown.signals import Signals
from stepdown.units import Tier, Unit

CATALOG = Catalog.load()
LIGHT = ("execute-task", Signals(files=1, steps=1, tags=("docs",)))
STANDARD = ("execute-task", Signals(files=4, steps=5))
HEAVY = ("execute-task", Signals(files=5, steps=9))


def tried(ledger: Ledger, present: Preferences) -> Suggestion:
    past = past_of(ledger)
    world = World(past, ledger.expectations(), CATALOG, present.policy)
    return suggest(past, present, CATALOG, world, reach={})


def of(found: Suggestion, option: str) -> Tried:
    return next(one for one in found.tried if str(one.option) == option)


def light_fails(_: Unit, tier: Tier) -> str | None:
    return "quality" if tier is Tier.LIGHT else None


def test_the_grid_names_what_there_is() -> None:
    assert set(GRID) <= set(Policy.__struct_fields__)
    for name, words in CHOICES.items():
        for word in words:
            Option(((name, word),)).applied(preferences())
    with pytest.raises(PreferencesError):
        Option((("thresholds.heavy_stepz", 3),)).applied(preferences())


def test_a_setting_is_applied_and_written_as_it_stands_in_a_file() -> None:
    option = Option((("enabled", True), ("thresholds.heavy_steps", 12), ("tier_models.light", "gpt-5-mini")))
    applied = option.applied(Preferences())
    assert applied.dynamic_routing.enabled
    assert applied.policy.heavy_steps == 12
    assert applied.dynamic_routing.tier_models == {Tier.LIGHT: ModelChoice("gpt-5-mini")}
    section = {"enabled": True, "thresholds": {"heavy_steps": 12}, "tier_models": {"light": "gpt-5-mini"}}
    assert option.as_preferences() == {"dynamic_routing": section}
    assert str(option) == "enabled: true, thresholds.heavy_steps: 12, tier_models.light: gpt-5-mini"


def test_other_models_of_a_named_tier_are_cheaper_and_take_part() -> None:
    present = preferences()
    found = [dict(option.settings) for option in options(present, CATALOG)]
    models = {(key.rpartition(".")[2], str(value)) for one in found for key, value in one.items() if "tier_models" in key}
    assert models
    for tier, name in models:
        model, named = CATALOG.resolve(name), CATALOG.resolve(present.dynamic_routing.tier_models[Tier(tier)].model)
        assert model is not None
        assert named is not None
        assert (model.tier, model.provider) == (Tier(tier), "anthropic")
        assert model.price is not None
        assert named.price is not None
        assert model.price.rates.output <= named.price.rates.output
    assert not [one for one in options(preferences(tier_models={}), CATALOG) if "tier_models" in str(one)]


def test_missed_failures_are_only_weighed_where_somebody_looks() -> None:
    assert not [one for one in options(preferences(), CATALOG) if "missed_failure" in str(one)]
    assert [one for one in options(preferences(learning="expected_cost"), CATALOG) if "missed_failure" in str(one)]


def test_what_failed_light_is_proposed_to_start_higher() -> None:
    """Two-step documents fail on a light model and are done by the next: starting there saves the failed attempts."""
    work = [("execute-task", Signals(files=1, steps=3, tags=("docs",)))] * 40
    present = msgspec.structs.replace(preferences(), policy=preferences().policy.with_overrides({"evidence_minimum": 1000}))
    found = tried(lived(present, work, light_fails), present)
    one = of(found, "thresholds.light_steps: 2")
    assert (one.moved, one.guessed, one.failures, one.against) == (40, 0, 0.0, "")
    assert one.sums.high_usd < 0
    assert found.best is not None
    assert ("thresholds.light_steps", 2) in found.best.option.settings
    assert found.best.sums.difference_usd <= one.sums.difference_usd


def test_too_few_runs_are_shown_and_not_proposed() -> None:
    work = [("execute-task", Signals(files=1, steps=3, tags=("docs",)))] * (MINIMUM - 1)
    present = msgspec.structs.replace(preferences(), policy=preferences().policy.with_overrides({"evidence_minimum": 1000}))
    found = tried(lived(present, work, light_fails), present)
    one = of(found, "thresholds.light_steps: 2")
    assert one.sums.difference_usd < 0
    assert one.against == f"rests on {MINIMUM - 1} runs only"
    assert found.best is None


def test_what_lets_more_work_fail_is_not_proposed_however_much_it_saves() -> None:
    """Heavy work on a standard model was never seen; that it fails unnoticed is to be expected of some of it."""
    found = tried(lived(preferences(), [HEAVY] * 40), preferences())
    one = of(found, "thresholds.heavy_steps: 10")
    assert one.sums.high_usd < 0
    assert one.guessed == 40
    assert one.against == "lets more work fail"
    assert found.best is None


def test_what_changes_nothing_or_loses_says_so() -> None:
    found = tried(lived(preferences(), [STANDARD] * 30), preferences())
    assert of(found, "thresholds.heavy_files: 10").against == "changes nothing"
    assert of(found, "thresholds.heavy_files: 4").against == "saves nothing"


def test_where_routing_is_off_it_is_switched_on_first() -> None:
    off = preferences(enabled=False)
    found = tried(lived(off, [LIGHT] * 30), off)
    assert found.switched_on
    assert str(found.tried[0].option) == "enabled: true"
    assert found.tried[0].against == ""
    assert found.best is not None
    assert found.best.option.settings[0] == ("enabled", True)


def test_proposals_together_still_meet_every_condition() -> None:
    present = preferences()
    found = tried(lived(present, mixed(120, 5), light_fails), present)
    best = found.best
    assert best is not None
    assert best.against == ""
    assert best.sums.high_usd < 0
    assert len({key for key, _ in best.option.settings}) == len(best.option.settings)
