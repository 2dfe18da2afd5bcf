"""Sources, merging and origins, with real files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepdown.errors import PreferencesError
from stepdown.preferences.load import load_preferences
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.units import Phase, Tier

Load = Callable[[str], Preferences]

EVERYTHING = """\
version: 1
models:
  research: claude-sonnet-4-6
  planning: {model: claude-opus-4-6, provider: anthropic, fallbacks: [glm-5, minimax-m2.5]}
  execution: claude-sonnet-4-6
  execution_simple: claude-haiku-4-5
dynamic_routing:
  enabled: true
  capability_routing: true
  tier_models:
    light: claude-haiku-4-5
    standard: {model: claude-sonnet-4-6, provider: bedrock}
  escalate_to: ceiling
  thresholds:
    heavy_files: 9
    alerts: [0.5, 1]
budget_ceiling: "25"
budgets:
  - {unit: plan, limit: 0.8, window: 5h}
providers:
  anthropic: {base_url: "http://127.0.0.1:8787", api_key_env: ANTHROPIC_API_KEY, protocols: [messages]}
  openai: {}
catalog:
  my-model: {provider: anthropic, tier: light, context: 128000, price: {input: 0.5, output: 2}}
agents:
  claude: {permission_mode: acceptEdits, args: [--max-turns, 20]}
pin: heavy
gateway: {mode: full}
verification_commands: ["make test"]
"""


def test_every_section_of_the_specification_is_read(load: Load) -> None:
    preferences = load(EVERYTHING)
    assert preferences.models == {
        "research": ModelChoice("claude-sonnet-4-6"),
        "planning": ModelChoice("claude-opus-4-6", "anthropic", ("glm-5", "minimax-m2.5")),
        "execution": ModelChoice("claude-sonnet-4-6"),
    }
    routing = preferences.dynamic_routing
    assert (routing.enabled, routing.escalate_to, routing.hooks) == (True, "ceiling", True)
    assert routing.tier_models == {
        Tier.LIGHT: ModelChoice("claude-haiku-4-5"),
        Tier.STANDARD: ModelChoice("claude-sonnet-4-6", "bedrock"),
    }
    assert preferences.policy.heavy_files == 9
    assert preferences.policy.alerts == (0.5, 1.0)
    assert preferences.budget_ceiling == 25.0
    assert [(budget.unit, budget.limit, budget.window) for budget in preferences.budgets] == [("plan", 0.8, "5h")]
    assert preferences.providers["anthropic"].protocols == ("messages",)
    assert "openai" in preferences.providers
    assert preferences.catalog["my-model"]["price"] == {"input": 0.5, "output": 2}
    assert preferences.agents["claude"].args == ("--max-turns", "20")
    assert (preferences.pin, preferences.gateway.mode) == ("heavy", "full")
    assert preferences.verification_commands == ("make test",)
    assert preferences.warnings == ()
    assert preferences.files == (".gsd/PREFERENCES.md",)
    decides = preferences.model_for(Phase.DISCUSS)
    assert decides is not None
    assert decides[0] == "planning"


def test_each_origin_is_the_line_that_holds_the_key(load: Load, project: Path) -> None:
    origins = load(EVERYTHING).origins
    lines = (project / ".gsd" / "PREFERENCES.md").read_text(encoding="utf-8").splitlines()
    assert origins["models.execution"] == ".gsd/PREFERENCES.md:6"
    assert len(origins) > 30
    for key, origin in origins.items():
        name, _, line = origin.rpartition(":")
        last = key.rpartition(".")[2].partition("[")[0]
        assert name == ".gsd/PREFERENCES.md"
        assert last in lines[int(line) - 1] or key.endswith("]"), key


def test_no_file_is_all_defaults(project: Path, home: Path) -> None:
    assert load_preferences(project, home=home) == Preferences()
    assert load_preferences(project / "missing", home=home / "missing") == Preferences()


def test_four_files_count_in_their_order(project: Path, home: Path) -> None:
    (project / ".gsd" / "PREFERENCES.md").write_text("---\nbudget_ceiling: 1\n---\n")
    (project / "stepdown.yaml").write_text("budget_ceiling: 2\npin: two\n")
    (home / ".gsd" / "preferences.md").write_text("---\nbudget_ceiling: 3\npin: three\nbudget_enforcement: halt\n---\n")
    (home / ".stepdown" / "stepdown.yaml").write_text("budget_enforcement: warn\nper_unit_cost_cap_usd: 4\n")
    preferences = load_preferences(project, home=home)
    assert (preferences.budget_ceiling, preferences.pin) == (1.0, "two")
    assert (preferences.budget_enforcement, preferences.per_unit_cost_cap_usd) == ("halt", 4.0)
    assert preferences.files == (
        ".gsd/PREFERENCES.md",
        "stepdown.yaml",
        "~/.gsd/preferences.md",
        "~/.stepdown/stepdown.yaml",
    )
    assert preferences.origins == {
        "budget_ceiling": ".gsd/PREFERENCES.md:2",
        "pin": "stepdown.yaml:2",
        "budget_enforcement": "~/.gsd/preferences.md:4",
        "per_unit_cost_cap_usd": "~/.stepdown/stepdown.yaml:2",
    }


def test_assume_replaces_the_projects_files_and_leaves_the_users(project: Path, home: Path, tmp_path: Path) -> None:
    (project / ".gsd" / "PREFERENCES.md").write_text("---\npin: theirs\n---\n")
    (project / "stepdown.yaml").write_text("budget_ceiling: 2\n")
    (home / ".gsd" / "PREFERENCES.md").write_text("---\nbudget_enforcement: halt\n---\n")
    assumed = tmp_path / "other.yaml"
    assumed.write_text("gateway: {mode: full}\n")
    preferences = load_preferences(project, home=home, assume=assumed)
    assert (preferences.pin, preferences.budget_ceiling, preferences.gateway.mode) == ("", None, "full")
    assert preferences.budget_enforcement == "halt"
    assert preferences.origins["gateway.mode"] == f"{assumed}:1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "---\npin: x\n---\n"),
        ("a.yml", "pin: x"),
        ("a", "pin: x"),
        ("b", "---\npin: x\n"),
        ("c", "---\npin: x\n---\nhi"),
    ],
)
def test_assume_takes_either_format(project: Path, home: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert load_preferences(project, home=home, assume=tmp_path / name).pin == "x"


def test_a_missing_assumed_file_is_said(project: Path, home: Path, tmp_path: Path) -> None:
    with pytest.raises(PreferencesError, match=r"nowhere\.md: there is no such preferences file"):
        load_preferences(project, home=home, assume=tmp_path / "nowhere.md")


def test_sections_merge_key_by_key_but_a_model_or_a_list_is_replaced_whole(project: Path, home: Path) -> None:
    (home / ".gsd" / "PREFERENCES.md").write_text(
        "---\n"
        "models: {planning: {model: opus, provider: bedrock, fallbacks: [glm-5]}, execution: sonnet}\n"
        "dynamic_routing: {enabled: true, tier_models: {light: haiku, heavy: opus}}\n"
        "providers: {openai: {base_url: 'https://a.example', api_key_env: KEY}}\n"
        "verification_commands: [make a, make b]\n"
        "catalog: {mine: {tier: light, price: {input: 1, output: 2, cache_read: 0.1}}}\n"
        "---\n"
    )
    (project / "stepdown.yaml").write_text(
        "models: {planning: {model: gpt-5}}\n"
        "dynamic_routing: {tier_models: {light: mini}}\n"
        "providers: {openai: {base_url: 'https://b.example'}}\n"
        "verification_commands: [make c]\n"
        "catalog: {mine: {price: {input: 3, output: 4}}}\n"
    )
    preferences = load_preferences(project, home=home)
    assert preferences.models == {"planning": ModelChoice("gpt-5"), "execution": ModelChoice("sonnet")}
    assert preferences.dynamic_routing.enabled
    assert preferences.dynamic_routing.tier_models == {Tier.LIGHT: ModelChoice("mini"), Tier.HEAVY: ModelChoice("opus")}
    assert preferences.providers["openai"].base_url == "https://b.example"
    assert preferences.providers["openai"].api_key_env == "KEY"
    assert preferences.verification_commands == ("make c",)
    assert preferences.catalog["mine"] == {"tier": "light", "price": {"input": 3, "output": 4}}
    assert preferences.origins["providers.openai.api_key_env"] == "~/.gsd/PREFERENCES.md:4"


def test_what_is_empty_does_not_override(project: Path, home: Path) -> None:
    (home / ".gsd" / "PREFERENCES.md").write_text(
        "---\ndisabled_model_providers: [openai]\nmodels: {planning: opus}\nbudget_ceiling: 5\n"
        "dynamic_routing: {enabled: true}\n---\n"
    )
    (project / ".gsd" / "PREFERENCES.md").write_text(
        "---\nmodels: {}\ndisabled_model_providers: []\nbudget_ceiling:\n"
        'dynamic_routing:\n  enabled:\n  tier_models: {light: , heavy: ""}\nverification_commands: []\n---\n'
    )
    preferences = load_preferences(project, home=home)
    assert preferences.disabled_model_providers == ("openai",)
    assert preferences.models == {"planning": ModelChoice("opus")}
    assert preferences.budget_ceiling == 5.0
    assert preferences.dynamic_routing.enabled
    assert preferences.dynamic_routing.tier_models == {}
    assert preferences.warnings == ()


def test_the_alias_of_the_stronger_file_wins(project: Path, home: Path) -> None:
    (home / ".gsd" / "PREFERENCES.md").write_text("---\ndynamic_routing: {enabled: true, hooks: false}\n---\n")
    (project / "stepdown.yaml").write_text("dynamic_model_routing: false\n")
    preferences = load_preferences(project, home=home)
    assert not preferences.dynamic_routing.enabled
    assert not preferences.dynamic_routing.hooks
    assert preferences.origins["dynamic_routing.enabled"] == "stepdown.yaml:1"


def test_the_alias_may_repeat_the_section_but_not_contradict_it(load: Load) -> None:
    assert load("dynamic_model_routing: true\ndynamic_routing: {enabled: true}").dynamic_routing.enabled
    with pytest.raises(PreferencesError) as caught:
        load("dynamic_model_routing: false\ndynamic_routing:\n  enabled: true")
    assert str(caught.value) == (
        ".gsd/PREFERENCES.md:2: dynamic_model_routing and dynamic_routing.enabled (line 4) say different things; "
        "keep one of them"
    )
    with pytest.raises(PreferencesError, match=r"PREFERENCES\.md:2: dynamic_model_routing is true or false"):
        load("dynamic_model_routing: 3")


@pytest.mark.parametrize(("profile", "validation"), [("budget", True), ("balanced", False), ("quality", False)])
def test_a_token_profile_fills_in_the_phases_that_are_not_said(load: Load, profile: str, validation: bool) -> None:
    preferences = load(f"token_profile: {profile}\nphases: {{skip_research: false, reassess_after_slice: true}}")
    phases = preferences.phases
    assert (phases.skip_research, phases.skip_slice_research, phases.skip_reassess) == (False, True, True)
    assert phases.skip_milestone_validation is validation
    assert preferences.origins["phases.skip_research"] == ".gsd/PREFERENCES.md:3"
    assert preferences.origins["phases.skip_slice_research"] == "token_profile"
    assert ("phases.skip_milestone_validation" in preferences.origins) is validation


def test_problems_of_all_files_are_told_at_once(project: Path, home: Path) -> None:
    (project / ".gsd" / "PREFERENCES.md").write_text("---\n\tpin: x\n---\n")
    (home / ".gsd" / "PREFERENCES.md").write_bytes(b"---\npin: \xff\n---\n")
    with pytest.raises(PreferencesError) as caught:
        load_preferences(project, home=home)
    first, second = str(caught.value).splitlines()
    assert first.startswith(".gsd/PREFERENCES.md:2: not valid YAML")
    assert second == "~/.gsd/PREFERENCES.md:2: not UTF-8 text (byte 0xff); save it as UTF-8"


KEYS = st.sampled_from(["budget_ceiling", "pin", "budget_enforcement", "gateway", "agents", "language"])
VALUES = {
    "budget_ceiling": st.integers(0, 9).map(str),
    "pin": st.sampled_from(["light", "heavy"]),
    "budget_enforcement": st.sampled_from(["warn", "halt"]),
    "gateway": st.sampled_from(["{mode: full}", "{store_prompts: true}"]),
    "agents": st.sampled_from(["{claude: {timeout: 5}}", "{claude: {args: [a]}}", "{codex: {timeout: 7}}"]),
    "language": st.just("de"),
}
FILES = st.dictionaries(KEYS, st.none(), max_size=6).flatmap(
    lambda keys: st.fixed_dictionaries({key: st.one_of(st.just(""), VALUES[key]) for key in keys})
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=FILES, theirs=FILES)
@example(mine={"gateway": ""}, theirs={"gateway": "{mode: full}"})
def test_the_project_wins_key_by_key(project: Path, home: Path, mine: dict[str, str], theirs: dict[str, str]) -> None:
    (project / "stepdown.yaml").write_text("".join(f"{key}: {value}\n" for key, value in mine.items()))
    (home / ".stepdown" / "stepdown.yaml").write_text("".join(f"{key}: {value}\n" for key, value in theirs.items()))
    both = load_preferences(project, home=home)
    ours = load_preferences(project, home=home / "nobody")
    weaker = load_preferences(project / "nothing", home=home)
    for key in (*ours.origins.keys(), *weaker.origins.keys()):
        if key in ours.origins:
            assert both.origins[key] == ours.origins[key]
        else:
            assert both.origins[key] == weaker.origins[key]
    assert both.origins.keys() == ours.origins.keys() | weaker.origins.keys()
    for key in ("budget_ceiling", "pin", "budget_enforcement"):
        source = ours if key in ours.origins else weaker
        assert getattr(both, key) == getattr(source, key)


PIECES = (
    *("models:", "dynamic_routing:", " enabled:", "thresholds:", "alerts:", "budgets:", "phases:", "post_unit_hooks:"),
    *("providers:", "catalog:", "agents:", "pin:", "budget_ceiling: ", "tier_models:", "- name: ", "max_cycles: "),
    *("\n", "\n", "\n", "\n  ", "\n    ", "  -", "{", "}", "[", "]", ", ", ": ", "? ", "<<:", "|", "'", "#", "\t"),
    *("&a", "*a", "!!x", "x", "9" * 30, "null", "-.inf", "1e999", "true", "3"),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: f"---\n{text}\n---\n".encode("utf-8", "surrogatepass")),
        st.lists(
            st.sampled_from(PIECES),
            max_size=30,
        ).map(lambda parts: ("---\n" + "".join(parts) + "\n---\n").encode()),
    )
)
@example(data=b"---\nbudgets: [[[]]]\ncatalog: {a: 1}\nmodels: {planning: []}\n---\n")
def test_no_bytes_raise_anything_else(project: Path, home: Path, data: bytes) -> None:
    (project / ".gsd" / "PREFERENCES.md").write_bytes(data)
    try:
        load_preferences(project, home=home)
    except PreferencesError as error:
        for line in str(error).splitlines():
            assert line.startswith(".gsd/PREFERENCES.md:"), line


def test_files_of_real_projects_are_accepted(home: Path) -> None:
    data = Path(os.environ.get("STEPDOWN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    trees = sorted((data / "gsd").glob("*/.gsd"))
    if not trees:
        pytest.skip("no trees of real projects here; STEPDOWN_DATA names the directory that holds them")
    found = [load_preferences(tree.parent, home=home) for tree in trees]
    assert any(preferences.models for preferences in found)
    assert [preferences.warnings for preferences in found] == [()] * len(found)
