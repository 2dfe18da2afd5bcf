"""What is wrong inside a section stops everything with one line; what is GSD's own is left alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stepdown.errors import PreferencesError
from stepdown.preferences.gsd import PROFILES, TOP_KEYS
from stepdown.preferences.load import load_preferences
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.preferences.validate import SECTIONS

Load = Callable[[str], Preferences]

# ruff: noqa: E501 -- one fault, one line
FAULTS = [
    ("models: {excution: x}", "models.excution is not a key that stepdown knows; did you mean 'execution'?"),
    ("models: 3", "models is a section with keys of its own, not 3"),
    ("models: {planning: 3}", "models.planning is a model's name, or a section with model, provider and fallbacks, not 3"),
    ("models: {planning: {provider: x}}", "models.planning needs model"),
    ("models: {planning: {model: x, fallback: [y]}}", "models.planning.fallback is not a key that stepdown knows; did you mean 'fallbacks'?"),
    ("models: {planning: {model: x, fallbacks: y}}", "models.planning.fallbacks is a list, not y: write [y]"),
    ('models: {planning: "a\\nb"}', "models.planning is a model's name on one line"),
    ("dynamic_routing: true", "dynamic_routing is a section with keys of its own, not true"),
    ("dynamic_routing: {enabeld: true}", "dynamic_routing.enabeld is not a key that stepdown knows; did you mean 'enabled'?"),
    ('dynamic_routing: {enabled: "yes"}', 'dynamic_routing.enabled is true or false, not "yes"'),
    ("dynamic_routing: {enabled: 1}", "dynamic_routing.enabled is true or false, not 1"),
    ("dynamic_routing: {learning: thresh}", "dynamic_routing.learning is one of threshold, expected_cost, not thresh; did you mean 'threshold'?"),
    ("dynamic_routing: {tier_models: {hevy: x}}", "dynamic_routing.tier_models.hevy is not a key that stepdown knows; did you mean 'heavy'?"),
    ("dynamic_routing: {thresholds: {heavy_fils: 1}}", "dynamic_routing.thresholds.heavy_fils: there is no such threshold; did you mean 'heavy_files'?"),
    ("dynamic_routing: {thresholds: {heavy_files: many}}", "dynamic_routing.thresholds.heavy_files is a whole number, not many"),
    ("dynamic_routing: {thresholds: {heavy_files: 1.5}}", "dynamic_routing.thresholds.heavy_files is a whole number, not 1.5"),
    ("dynamic_routing: {thresholds: {heavy_files: -1}}", "dynamic_routing.thresholds.heavy_files is never below 0, unlike -1"),
    ("dynamic_routing: {thresholds: {pressure_light: 0.8}}", "dynamic_routing.thresholds: pressure_light, pressure_cheapest, pressure_all rise in this order, unlike 0.8, 0.75, 0.9"),
    ("budget_ceiling: lots", "budget_ceiling is a number of at least 0, not lots"),
    ("budget_ceiling: -1", "budget_ceiling is a number of at least 0, not -1"),
    ("budget_ceiling: true", "budget_ceiling is a number of at least 0, not true"),
    ("budget_ceiling: 1e999", "budget_ceiling is a number of at least 0, not 1e999"),
    ("budget_enforcement: Pause", "budget_enforcement is one of warn, pause, halt, not Pause; did you mean 'pause'?"),
    ("per_unit_cost_cap_usd: 0", "per_unit_cost_cap_usd is a number above 0, not 0"),
    ("budgets: {unit: usd}", "budgets is a list, not a mapping"),
    ("budgets: [{unit: usd, limit: 0, window: day}]", "budgets[0].limit is a number above 0, not 0"),
    ("budgets: [{unit: eur, limit: 1, window: day}]", "budgets[0].unit is one of usd, tokens, requests, plan, not eur"),
    ("budgets: [{unit: usd, limit: 1, window: 5 h}]", "budgets[0].window is one of 5h, day, week, month, project, not 5 h; did you mean '5h'?"),
    ("budgets: [{unit: usd}]", "budgets[0] needs limit and window"),
    ("budgets: [usd]", "budgets[0] is a section with keys of its own, not usd"),
    ("budgets: [{unit: usd, limit: 1, window: day, per: human}]", "budgets[0].per is one of project, person, team, not human"),
    ("budgets: [{unit: plan, limit: 1, window: 5h, per: team}]", "budgets[0]: plan is the subscription's own meter, of all that passes: no per, no model"),
    ("providers: {a: {base_url: 127.0.0.1:80}}", "providers.a.base_url is an http:// or https:// address, not 127.0.0.1:80"),
    ("providers: {a: {base_url: 'http://h:port'}}", 'providers.a.base_url is an http:// or https:// address, not "http://h:port"'),
    ("providers: {a: {protocols: [mesages]}}", "providers.a.protocols are of messages, chat, responses; did you mean 'messages'?"),
    ("agents: {claude: {permision_mode: x}}", "agents.claude.permision_mode is not a key that stepdown knows; did you mean 'permission_mode'?"),
    ("agents: {command: {command: make it}}", "agents.command.command is a list, not make it: write [make it]"),
    ("agents: {claude: {timeout: 0}}", "agents.claude.timeout is a number above 0, not 0"),
    ("catalog: {mine: 3}", "catalog.mine is a section with keys of its own, not 3"),
    ("pin: [light]", "pin is text, not a list"),
    ("gateway: {mode: ful}", "gateway.mode is one of observe, delegated, full, not ful; did you mean 'full'?"),
    ("verification_commands: make test", "verification_commands is a list, not make test: write [make test]"),
    ("trust_plan_commands: maybe", "trust_plan_commands is true or false, not maybe"),
]  # fmt: skip


@pytest.mark.parametrize(("yaml", "message"), FAULTS, ids=[yaml for yaml, _ in FAULTS])
def test_each_fault_is_one_line_that_says_what_would_be_right(load: Load, yaml: str, message: str) -> None:
    with pytest.raises(PreferencesError) as caught:
        load(f"# a comment\n{yaml}")
    assert str(caught.value) == f".gsd/PREFERENCES.md:3: {message}"
    assert caught.value.exit_code == 2


def test_all_faults_are_told_in_the_order_of_the_file(load: Load) -> None:
    with pytest.raises(PreferencesError) as caught:
        load("pin: []\ngateway:\n  mode: x\n  stor: y\nbudget_ceiling: x")
    assert [line.split(" ")[:2] for line in str(caught.value).splitlines()] == [
        [".gsd/PREFERENCES.md:4:", "gateway.mode"],
        [".gsd/PREFERENCES.md:5:", "gateway.stor"],
        [".gsd/PREFERENCES.md:6:", "budget_ceiling"],
    ]


SECRETS = ["sk-ant-api03-Zm9vYmFy", "sk-proj-1234567890", "AIzaSyA1234567890abcdef", "gsk_abcdefgh12345678", "a1b2" * 8]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("key", ["api_key_env", "api_key"])
def test_a_key_in_the_file_is_an_error_that_does_not_repeat_it(load: Load, secret: str, key: str) -> None:
    with pytest.raises(PreferencesError) as caught:
        load(f"providers:\n  anthropic:\n    {key}: {secret}")
    assert f".gsd/PREFERENCES.md:4: providers.anthropic.{key}" in str(caught.value)
    assert secret not in str(caught.value)


def test_a_key_in_the_wrong_place_is_not_repeated_either(load: Load) -> None:
    with pytest.raises(PreferencesError) as caught:
        load("budget_ceiling: sk-ant-api03-Zm9vYmFy\nproviders: {sk-ant-api03-Zm9vYmFy: {base_url: 'ftp://me:pass@host'}}")
    assert "Zm9vYmFy" not in str(caught.value)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "my_key", "K2"])
def test_names_of_variables_are_taken(load: Load, name: str) -> None:
    assert load(f"providers: {{a: {{api_key_env: {name}}}}}").providers["a"].api_key_env == name


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", '"true"'])
def test_yes_is_yes(load: Load, word: str) -> None:
    assert load(f"dynamic_routing: {{enabled: {word}}}").dynamic_routing.enabled


@pytest.mark.parametrize("number", ["25", "25.00", '"25"', "2.5e1"])
def test_numbers_may_be_quoted(load: Load, number: str) -> None:
    assert load(f"budget_ceiling: {number}").budget_ceiling == 25.0


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("dynamic_routng", "dynamic_routing"),
        ("Dynamic-Routing", "dynamic_routing"),
        ("budget_celing", "budget_ceiling"),
        ("model", "models"),
        ("dynamic_model_routng", "dynamic_model_routing"),
    ],
)
def test_a_near_miss_at_the_top_is_warned_about(load: Load, key: str, meant: str) -> None:
    assert load(f"language: de\n{key}: x").warnings == (
        f".gsd/PREFERENCES.md:3: '{key}' is not a key that stepdown knows and has no effect; did you mean '{meant}'?",
    )


def test_keys_of_gsd_and_of_others_are_left_alone(load: Load) -> None:
    assert not TOP_KEYS & set(SECTIONS)
    yaml = "\n".join(f"{key}: [{{x: 1}}]" for key in sorted(TOP_KEYS - {"token_profile"}))
    assert load(yaml + "\nsomething_else: {a: 1}") == Preferences(files=(".gsd/PREFERENCES.md",))


def test_keys_of_gsd_inside_our_sections_are_left_alone(load: Load) -> None:
    preferences = load(
        "models: {execution: x, execution_simple: y}\n"
        "dynamic_routing: {enabled: false, capability_routing: true, allow_flat_rate_providers: [x]}\n"
        "phases: {skip_research: 'true', progressive_planning: x, require_slice_discussion: 1}\n"
    )
    assert preferences.models == {"execution": ModelChoice("x")}
    assert preferences.phases.skip_research
    assert preferences.warnings == ()


def test_what_is_odd_in_phases_and_the_profile_is_only_warned_about(load: Load) -> None:
    preferences = load("phases:\n  skip_reserch: true\n  skip_reassess: perhaps\ntoken_profile: cheap")
    assert preferences.phases == Preferences().phases
    assert preferences.warnings == (
        ".gsd/PREFERENCES.md:3: phases.skip_reserch is not a key that stepdown knows; did you mean 'skip_research'?",
        ".gsd/PREFERENCES.md:4: phases.skip_reassess is true or false, not perhaps",
        f".gsd/PREFERENCES.md:5: token_profile is one of {', '.join(PROFILES)}, not cheap; it has no effect",
    )
    assert load("phases: all").warnings == (".gsd/PREFERENCES.md:2: phases is a section with keys of its own, not all",)


def test_an_unknown_key_with_nothing_set_is_only_warned_about(load: Load) -> None:
    assert load("dynamic_routing: {enabeld: }").warnings == (
        ".gsd/PREFERENCES.md:2: dynamic_routing.enabeld is not a key that stepdown knows; did you mean 'enabled'?",
    )


def test_a_fault_in_the_home_file_names_it(project: Path, home: Path) -> None:
    (home / ".gsd" / "PREFERENCES.md").write_text("---\npin: {}\ngateway: full\n---\n")
    with pytest.raises(PreferencesError, match=r"^~/\.gsd/PREFERENCES\.md:3: gateway is a section"):
        load_preferences(project, home=home)


def test_a_list_of_words_takes_them_as_written(load: Load) -> None:
    preferences = load("agents: {claude: {args: [--n, 010, true, '']}}\nverification_commands: [true, '', null, make x]")
    assert preferences.agents["claude"].args == ("--n", "010", "true", "")
    assert preferences.verification_commands == ("true", "make x")


@pytest.mark.parametrize("address", ["https://hooks.example/services/T0/B0/x1y2", "no name", "sk-abcdefgh12345"])
def test_a_webhooks_address_does_not_belong_in_a_file(address: str, load: Load) -> None:
    with pytest.raises(PreferencesError) as refused:
        load(f'alerts: {{webhook_env: "{address}"}}')
    assert "alerts.webhook_env is the name of an environment variable" in str(refused.value)
    assert address not in str(refused.value)
    assert load("alerts: {webhook_env: TEAM_WEBHOOK}").alerts.webhook_env == "TEAM_WEBHOOK"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "2852039166", "metadata.google.internal"])
def test_no_provider_is_where_only_machines_ask(host: str, load: Load) -> None:
    with pytest.raises(PreferencesError, match="no provider is there"):
        load(f'providers: {{openai: {{base_url: "http://{host}/v1"}}}}')
