"""The merged tree becomes `Preferences`: every section read by the schema, plus the rules that types cannot say."""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from stepdown.addresses import is_off_limits
from stepdown.errors import PreferencesError
from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.preferences import gsd, hooks
from stepdown.preferences.document import Node
from stepdown.preferences.merge import ALIAS
from stepdown.preferences.reading import Reading, looks_secret, nearest, record_fields, shown
from stepdown.preferences.schema import Alerting, Budget, DynamicRouting, ModelChoice, PhaseSkips, Preferences, ProviderSettings
from stepdown.units import Phase

NOT_IN_FILES: Final = frozenset({"policy", "origins", "warnings", "files"})
"""Fields of `Preferences` that no key sets directly."""

SECTIONS: Final = tuple(name for name in record_fields(Preferences) if name not in NOT_IN_FILES)
"""The top-level keys that are ours."""

MODEL_KEYS: Final = (*(phase.value for phase in Phase), "default")
PROTOCOLS: Final = ("messages", "chat", "responses")

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def validate(root: Node, reading: Reading) -> Preferences:
    """The preferences that `root` sets, with everything wrong and doubtful noted in `reading`."""
    values: dict[str, Any] = {}
    special: Mapping[str, Callable[[Reading, Node], object]] = {
        "alerts": _alerts,
        "budgets": _budgets,
        "models": _models,
        "phases": _phases,
        "providers": _providers,
        "post_unit_hooks": hooks.post_unit_hooks,
        "pre_dispatch_hooks": hooks.pre_dispatch_hooks,
    }
    known = record_fields(Preferences)
    for name, node in root.entries().items():
        if name not in SECTIONS:
            _stranger(reading, node, name)
        elif node.unset:
            continue
        elif name == "dynamic_routing":
            values[name], values["policy"] = _dynamic_routing(reading, node)
        elif name in special:
            values[name] = special[name](reading, node)
        else:
            before = len(reading.problems)
            values[name] = reading.convert(node, name, known[name].type)
            if len(reading.problems) == before:
                reading.origins[name] = node.where
    if reading.problems:
        return Preferences()
    values["phases"] = _with_profile(reading, root.entries().get("token_profile"), values.get("phases", {}))
    return Preferences(**values)


def _stranger(reading: Reading, node: Node, name: str) -> None:
    """A top-level key that is not ours: GSD's and everybody else's are left alone, a near miss of ours is worth a word."""
    if name in gsd.TOP_KEYS:
        return
    near = nearest(name, (*SECTIONS, ALIAS), cutoff=0.8)
    if near is not None:
        reading.doubt(node, f"'{name}' is not a key that stepdown knows and has no effect; did you mean '{near}'?")


def _budgets(reading: Reading, node: Node) -> tuple[Budget, ...]:
    before = len(reading.problems)
    budgets = reading.convert(node, "budgets", record_fields(Preferences)["budgets"].type)
    if len(reading.problems) > before:
        return ()
    reading.origins["budgets"] = node.where
    for number, (budget, child) in enumerate(zip(budgets, reading.items(node, "budgets"), strict=False)):
        if budget.unit == "plan" and (budget.model or budget.per != "project"):
            reading.wrong(
                child, f"budgets[{number}]: plan is the subscription's own meter, of all that passes: no per, no model"
            )
    return budgets  # type: ignore[no-any-return]  # (of the schema's type)


def _models(reading: Reading, node: Node) -> dict[str, ModelChoice]:
    models: dict[str, ModelChoice] = {}
    for name, child in reading.entries(node, "models").items():
        if name in gsd.MODEL_KEYS:
            continue
        if name not in MODEL_KEYS:
            reading.unknown(child, "models", name, MODEL_KEYS)
        elif not child.unset:
            choice = reading.convert(child, f"models.{name}", ModelChoice)
            if isinstance(choice, ModelChoice):
                models[name] = choice
                reading.origins[f"models.{name}"] = child.where
    return models


def _dynamic_routing(reading: Reading, node: Node) -> tuple[DynamicRouting, Policy]:
    key = "dynamic_routing"
    policy = DEFAULT_POLICY
    section = Node({name: child for name, child in node.entries().items() if name != "thresholds"}, node.file, node.line)
    thresholds = node.entries().get("thresholds")
    if thresholds is not None:
        policy = _thresholds(reading, thresholds)
    whole = section if isinstance(node.value, dict) else node
    return DynamicRouting(**reading.fields(whole, key, DynamicRouting, foreign=gsd.ROUTING_KEYS)), policy


def _thresholds(reading: Reading, node: Node) -> Policy:
    key = "dynamic_routing.thresholds"
    policy = DEFAULT_POLICY
    known = record_fields(Policy)
    for name, child in reading.entries(node, key).items():
        if child.unset and name in known:
            continue
        before = len(reading.problems)
        value = reading.convert(child, f"{key}.{name}", known[name].type) if name in known else None
        if len(reading.problems) > before:
            continue
        try:
            policy = policy.with_overrides({name: value})
        except PreferencesError as error:
            reading.wrong(child, f"dynamic_routing.{error}")
            continue
        if min(value if isinstance(value, tuple) else (value,), default=0) < 0:
            reading.wrong(child, f"{key}.{name} is never below 0, unlike {shown(child)}")
        reading.origins[f"{key}.{name}"] = child.where
    bands = (policy.pressure_light, policy.pressure_cheapest, policy.pressure_all)
    if sorted(bands) != list(bands):
        reading.wrong(
            node,
            f"{key}: pressure_light, pressure_cheapest, pressure_all rise in this order, unlike {', '.join(map(str, bands))}",
        )
    return policy


def _providers(reading: Reading, node: Node) -> dict[str, ProviderSettings]:
    providers: dict[str, ProviderSettings] = {}
    for name, child in reading.entries(node, "providers").items():
        key = f"providers.{name}"
        secret = child.entries().get("api_key")
        if secret is not None:
            reading.wrong(secret, f"{key}.api_key: keys do not belong in a file; name its variable with api_key_env")
            continue
        settings = None if child.value is None else reading.record(child, key, ProviderSettings)
        if settings is None:
            continue
        entries = child.entries()
        if settings.api_key_env and not _is_variable(settings.api_key_env):
            reading.wrong(
                entries["api_key_env"],
                f"{key}.api_key_env is the name of an environment variable (ANTHROPIC_API_KEY), not a key; what stands there "
                "is not shown",
            )
        if settings.base_url and not _is_web_address(settings.base_url):
            reading.wrong(
                entries["base_url"], f"{key}.base_url is an http:// or https:// address, not {shown(entries['base_url'])}"
            )
        elif settings.base_url and is_off_limits(urllib.parse.urlsplit(settings.base_url).hostname or ""):
            reading.wrong(
                entries["base_url"], f"{key}.base_url is where only machines talk to each other; no provider is there"
            )
        for protocol in settings.protocols:
            if protocol not in PROTOCOLS:
                near = nearest(protocol, PROTOCOLS)
                hint = f"; did you mean '{near}'?" if near else ""
                reading.wrong(entries["protocols"], f"{key}.protocols are of {', '.join(PROTOCOLS)}{hint}")
        providers[name] = settings
        reading.origins[key] = child.where
    return providers


def _alerts(reading: Reading, node: Node) -> Alerting:
    settings = reading.record(node, "alerts", Alerting)
    if settings is not None and settings.webhook_env and not _is_variable(settings.webhook_env):
        reading.wrong(
            node.entries()["webhook_env"],
            "alerts.webhook_env is the name of an environment variable (STEPDOWN_WEBHOOK), not an address; what stands there "
            "is not shown",
        )
    return settings or Alerting()


def _is_variable(text: str) -> bool:
    """Whether it is a variable's name, and not the secret that belongs into it."""
    return bool(_VARIABLE.fullmatch(text)) and not looks_secret(text)


def _is_web_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", text)
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def _phases(reading: Reading, node: Node) -> dict[str, bool]:
    """GSD's section, so what is odd in it is a warning."""
    lenient = reading.lenient()
    known = {name: child for name, child in lenient.entries(node, "phases").items() if name not in gsd.PHASE_KEYS}
    return lenient.fields(Node(known, node.file, node.line), "phases", PhaseSkips)


def _with_profile(reading: Reading, profile: Node | None, said: dict[str, bool]) -> PhaseSkips:
    """What ``phases`` says, over what ``token_profile`` says."""
    if profile is None or profile.unset:
        return PhaseSkips(**said)
    skips = gsd.PROFILES.get(profile.text)
    if skips is None:
        reading.doubt(profile, f"token_profile is one of {', '.join(gsd.PROFILES)}, not {shown(profile)}; it has no effect")
        return PhaseSkips(**said)
    for name in skips.keys() - said.keys():
        reading.origins[f"phases.{name}"] = "token_profile"
    return PhaseSkips(**{**skips, **said})
