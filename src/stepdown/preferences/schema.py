"""The preferences as records: every key that is ours, its type, its default (SPEC section 11).

`stepdown.preferences.load` reads them from files; as a library, build one directly: ``Preferences(models={...})``.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from stepdown.policy import DEFAULT_POLICY, Policy
from stepdown.units import Phase, Tier

Enforcement = Literal["warn", "pause", "halt"]
Window = Literal["5h", "day", "week", "month", "project"]
Measure = Literal["usd", "tokens", "requests", "plan"]

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class ModelChoice(msgspec.Struct, frozen=True):
    """A model a user named: a string in the file, or ``{model, provider, fallbacks}``.

    Attributes:
        model: as the user wrote it; `Catalog.resolve` finds it.
        provider: tells two sellers of the same id apart; "" is not said.
        fallbacks: what to try, in this order, when the provider fails.
    """

    model: str
    provider: str = ""
    fallbacks: tuple[str, ...] = ()


class DynamicRouting(msgspec.Struct, frozen=True, kw_only=True):
    """The ``dynamic_routing`` section.

    Attributes:
        enabled: false (the default): nothing is rerouted, decisions are only recorded.
        tier_models: the model that serves a tier, where the user names one.
        escalate_on_failure: step up once after a quality failure.
        escalate_to: the next tier, or straight to the ceiling.
        budget_pressure: let a filling budget move work down.
        cross_provider: compare all providers that take part; false stays with the ceiling's.
        hooks: route hooks; false leaves them on their own model.
        learning: how evidence moves tiers.
        pressure: how a filling budget does.
    """

    enabled: bool = False
    tier_models: Mapping[Tier, ModelChoice] = {}
    escalate_on_failure: bool = True
    escalate_to: Literal["next", "ceiling"] = "next"
    budget_pressure: bool = True
    cross_provider: bool = True
    hooks: bool = True
    learning: Literal["threshold", "expected_cost"] = "expected_cost"
    pressure: Literal["bands", "pacing"] = "bands"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``budgets``.

    Attributes:
        unit: what is counted; ``plan`` is the subscription's own meter.
        limit: US dollars, tokens, requests, or for ``plan`` the fraction of it to use (1 is all).
        window: after how long the count starts anew; ``project`` never does.
        per: whose work counts together: each ``project``'s, each ``person``'s (by their token), or the whole ``team``'s.
        model: only work on this model counts, and only that is refused when it is used up; "" is any.
    """

    unit: Measure
    limit: Positive
    window: Window
    per: Literal["project", "person", "team"] = "project"
    model: str = ""


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``providers``; listing one lets it take part. "" and nothing take the provider's own default.

    Attributes:
        base_url: where it answers, ``http://`` or ``https://``.
        api_key_env: the *name* of the environment variable that holds its key, never the key.
        protocols: what it speaks there: ``messages``, ``chat``, ``responses``.
    """

    base_url: str = ""
    api_key_env: str = ""
    protocols: tuple[str, ...] = ()


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``agents``.

    Attributes:
        permission_mode: what the agent may do unasked, in the agent's own words; "" leaves the agent's default.
        args: arguments added to the agent's command line.
        command: for ``command``: the command line, with ``{model}``, ``{prompt_file}`` and friends.
        timeout: seconds one attempt may take.
    """

    permission_mode: str = ""
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    timeout: Positive = 3600.0


class PhaseSkips(msgspec.Struct, frozen=True, kw_only=True):
    """GSD's ``phases``, as far as it says which units a plan has. Filled from ``token_profile`` where not said.

    Attributes:
        skip_research: no milestone research.
        skip_slice_research: no slice research.
        skip_reassess: no reassessment of the roadmap.
        skip_milestone_validation: no validation of a finished milestone.
    """

    skip_research: bool = False
    skip_slice_research: bool = False
    skip_reassess: bool = False
    skip_milestone_validation: bool = False


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The ``gateway`` section.

    Attributes:
        mode: ``observe`` changes nothing, ``delegated`` reroutes declared units and sub-agents, ``full`` conversations too.
        store_prompts: keep what was asked in the ledger.
    """

    mode: Literal["observe", "delegated", "full"] = "observe"
    store_prompts: bool = False


class Alerting(msgspec.Struct, frozen=True, kw_only=True):
    """The ``alerts`` section: who is told, besides the log, that a budget has passed one of its marks.

    Attributes:
        webhook_env: the *name* of the environment variable with an address that is sent a JSON object; never the address.
    """

    webhook_env: str = ""


class PostUnitHook(msgspec.Struct, frozen=True, kw_only=True):
    """GSD's post-unit hook: a unit that runs after units of the types in `after`.

    Attributes:
        name: what the hook is called; unique.
        after: the unit types it follows.
        prompt: what the agent is told.
        model: its ceiling; "" takes its trigger's.
        max_cycles: how often it may run for one trigger, 1 to 10.
        artifact: a file that it writes; where it exists already, the hook does not run.
        retry_on: a file that, when the hook writes it, makes the trigger run again.
        agent: the agent definition GSD uses.
        enabled: false switches it off.
    """

    name: str
    after: tuple[str, ...]
    prompt: str
    model: str = ""
    max_cycles: int = 1
    artifact: str = ""
    retry_on: str = ""
    agent: str = ""
    enabled: bool = True


class PreDispatchHook(msgspec.Struct, frozen=True, kw_only=True):
    """GSD's pre-dispatch hook: modifies, skips or replaces units of the types in `before`; may name a model.

    Attributes:
        name: what the hook is called; unique.
        before: the unit types it stands before.
        action: what it does to the unit.
        prepend: for ``modify``: text before the prompt.
        append: for ``modify``: text after the prompt.
        prompt: for ``replace``: the prompt instead.
        unit_type: for ``replace``: the unit type instead.
        skip_if: for ``skip``: only if this file exists.
        model: the model the unit runs on; "" leaves routing to choose.
        enabled: false switches it off.
    """

    name: str
    before: tuple[str, ...]
    action: Literal["modify", "skip", "replace"]
    prepend: str = ""
    append: str = ""
    prompt: str = ""
    unit_type: str = ""
    skip_if: str = ""
    model: str = ""
    enabled: bool = True


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants. Effective values; `origins` says where each came from.

    Attributes:
        models: per phase (`Phase.value`) or ``default``, the model that is the ceiling.
        dynamic_routing: how routing works.
        policy: the thresholds, with the user's overrides applied.
        budget_ceiling: US dollars per project; None is no ceiling.
        budgets: further meters.
        budget_enforcement: what happens at 100 %.
        per_unit_cost_cap_usd: US dollars one unit may cost; None is no cap.
        providers: the providers the user lists, by name.
        disabled_model_providers: providers that take no part whatever else says so.
        catalog: models of the user's own and corrections, by id, as written (`stepdown.catalog` reads them).
        agents: settings per agent, by name.
        alerts: who is told that a budget is filling.
        pin: a model or a tier for everything; "" is none.
        gateway: the gateway's section.
        verification_commands: commands that check a unit's work.
        trust_plan_commands: run commands that a plan names without asking.
        phases: which units a plan leaves out.
        post_unit_hooks: GSD's hooks after units.
        pre_dispatch_hooks: GSD's hooks before units.
        dynamic_routing_reset: the next run forgets what was learned, once: said by a project, in that project; by you, in all.
        origins: per dotted key (``budget_ceiling``) where it came from: ``.gsd/PREFERENCES.md:12``; no entry is a default.
        warnings: one line each: near misses, unknown models in places where they are ignored.
        files: the files that were read, the strongest first.
    """

    models: Mapping[str, ModelChoice] = {}
    dynamic_routing: DynamicRouting = DynamicRouting()
    policy: Policy = DEFAULT_POLICY
    budget_ceiling: NotNegative | None = None
    budgets: tuple[Budget, ...] = ()
    budget_enforcement: Enforcement = "pause"
    per_unit_cost_cap_usd: Positive | None = None
    providers: Mapping[str, ProviderSettings] = {}
    disabled_model_providers: tuple[str, ...] = ()
    catalog: Mapping[str, Mapping[str, object]] = {}
    agents: Mapping[str, AgentSettings] = {}
    alerts: Alerting = Alerting()
    pin: str = ""
    gateway: Gateway = Gateway()
    verification_commands: tuple[str, ...] = ()
    trust_plan_commands: bool = False
    phases: PhaseSkips = PhaseSkips()
    post_unit_hooks: tuple[PostUnitHook, ...] = ()
    pre_dispatch_hooks: tuple[PreDispatchHook, ...] = ()
    dynamic_routing_reset: bool = False
    origins: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def model_for(self, phase: Phase) -> tuple[str, ModelChoice] | None:
        """The key that decides and the model it names for a phase, by the inheritance of SPEC 5; None where nothing is set."""
        chain = {
            Phase.DISCUSS: ("discuss", "planning"),
            Phase.VALIDATION: ("validation", "planning"),
            Phase.SUBAGENT: ("subagent", "execution"),
        }.get(phase, (phase.value,))
        for key in (*chain, "default"):
            choice = self.models.get(key)
            if choice is not None:
                return key, choice
        return None
