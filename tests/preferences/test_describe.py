"""Every effective value is shown, with its origin and without secrets."""

from collections.abc import Callable

import msgspec

from stepdown.policy import Policy
from stepdown.preferences.describe import describe
from stepdown.preferences.schema import Preferences
from stepdown.preferences.validate import SECTIONS

Load = Callable[[str], Preferences]


def test_defaults_are_shown_as_such() -> None:
    rows = {row.key: row for row in describe(Preferences())}
    assert {key.partition(".")[0] for key in rows} == set(SECTIONS)
    assert {row.origin for row in rows.values()} == {"default"}
    assert (rows["budget_ceiling"].value, rows["dynamic_routing.escalate_to"].value) == ("not set", "next")
    for field in msgspec.structs.fields(Policy):
        assert f"dynamic_routing.thresholds.{field.name}" in rows


def test_what_is_set_shows_where(load: Load) -> None:
    rows = {
        row.key: (row.value, row.origin)
        for row in describe(
            load(
                "models: {planning: {model: opus, provider: bedrock, fallbacks: [a, b]}}\n"
                "budgets: [{unit: usd, limit: 5, window: day}]\n"
                "dynamic_routing:\n  thresholds: {heavy_files: 9}\n"
                "verification_commands: [make test]\n"
                "post_unit_hooks: [{name: n, after: [x], prompt: p}]\n"
            )
        )
    }
    place = ".gsd/PREFERENCES.md"
    assert rows["models.planning"] == ("opus at bedrock, then a, b", f"{place}:2")
    assert rows["models.execution"] == ("not set", "default")
    assert rows["budgets[0].limit"] == ("5", f"{place}:3")
    assert rows["dynamic_routing.thresholds.heavy_files"] == ("9", f"{place}:5")
    assert rows["verification_commands"] == ('["make test"]', f"{place}:6")
    assert rows["post_unit_hooks[0].name"] == ("n", f"{place}:7")


def test_secrets_are_never_shown(load: Load) -> None:
    preferences = load(
        "providers: {a: {base_url: 'https://me:hunter2@host/v1', api_key_env: A_KEY}}\n"
        "agents: {claude: {args: [--key, sk-ant-api03-Zm9vYmFy]}}\n"
    )
    shown = "\n".join(row.value for row in describe(preferences))
    assert "A_KEY" in shown
    assert "https://(hidden)@host/v1" in shown
    assert "hunter2" not in shown
    assert "Zm9vYmFy" not in shown
