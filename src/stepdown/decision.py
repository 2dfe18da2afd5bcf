"""What routing is told and what it answers: `Context` in, `Decision` out. Frozen records, no behaviour."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from stepdown.units import Phase, Tier, Tokens

if TYPE_CHECKING:
    from stepdown.ledger.records import Evidence, Expectation
    from stepdown.preferences.schema import ModelChoice


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """How hard a unit is.

    Attributes:
        tier: the answer.
        reason: one line in plain words.
        signals: what it rests on; only those that were found. JSON-able.
        confidence: 0 (the default, nothing known) to 1 (several structural signals agree).
        tag: the strongest tag (``docs``, ``config``, ``rename``, ``typo``, ``test``, ``refactor``) or ""; part of the pattern.
    """

    tier: Tier
    reason: str
    signals: Mapping[str, object] = {}
    confidence: float = 0.0
    tag: str = ""


class Meter(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a budget is used.

    Attributes:
        name: for the screen: ``budget_ceiling``, ``week budget``, ``5h plan (anthropic)``.
        used: fraction of the limit; may exceed 1.
        hard: whether it refuses work when full (``pause`` and ``halt``; not ``warn``).
        detail: ``$21.40 of $25.00``.
        provenance: ``measured``, ``estimated`` or ``unknown``.
        remaining: what is left, in US dollars; None where the meter does not count dollars.
        seconds_left: until the window ends; None for a window without an end.
        model: the one model that it is of; "" is all. Such a meter moves nothing down: when it is full, its model is blocked.
        whose: ``team``, or ``person`` and a name, where it is theirs; "" is the project's.
    """

    name: str
    used: float
    hard: bool = False
    detail: str = ""
    provenance: str = "measured"
    remaining: float | None = None
    seconds_left: float | None = None
    model: str = ""
    whose: str = ""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """That this attempt follows a quality failure at `tier` (on `model`, if known)."""

    tier: Tier
    model: str = ""


class Ongoing(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversation stands that a unit goes on with (SPEC 12).

    Attributes:
        holder: provider-qualified, who answered last.
        cached: tokens of the conversation in the holder's cache.
        warm: per provider-qualified model, tokens of it in that one's cache.
        fresh: tokens that each request adds to the prompt.
        output: tokens of an answer.
        hour: whether what is written into caches is kept for an hour, which costs more.
    """

    holder: str
    cached: int = 0
    warm: Mapping[str, int] = {}
    fresh: int = 0
    output: int = 0
    hour: bool = False


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What the work asks of a model (SPEC 6).

    Attributes:
        prompt: the largest prompt, in tokens.
        output: output tokens requested of one response.
        output_adaptable: whether `output` is only a maximum, so that a model's lower cap can replace it without loss.
        features: names from `Model.features` that the work uses.
        protocol: the wire protocol it must be served on; "" is any.
    """

    prompt: int = 0
    output: int = 0
    output_adaptable: bool = True
    features: frozenset[str] = frozenset({"tools"})
    protocol: str = ""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What the pure core is told of the world. Everything has a default: ``Context()`` is a world without a past.

    Attributes:
        now: seconds since the epoch.
        meters: the budgets; the fullest decides.
        evidence: per pattern, what was learned (SPEC 9).
        expectations: per (unit type, provider-qualified model), what such units used; missing pairs use the defaults.
        blocked: provider-qualified models that may not be used, each with its reason.
        providers: the providers the agent doing the unit can reach; None is any.
        ceiling: the model that a gateway's request names; it is the ceiling, whatever the preferences set for the phase.
        agent_model: the model the agent itself is configured with: the last resort for a ceiling.
        stood_down: patterns for which routing stands down, each with its reason.
        retry: set when a quality failure is being repaired.
        hook_model: a model that a pre-dispatch hook named for this unit.
        pin: a model or a tier the user pinned for this unit; "" takes the preferences' pin.
        needs: what the work asks of a model; None estimates it from the expected tokens.
        pace: pacing's price on a dollar (λ of SPEC 7), 0 or more.
        ongoing: the conversation that the unit goes on with; None where it begins one, or is none.
    """

    now: float = 0.0
    meters: tuple[Meter, ...] = ()
    evidence: "Mapping[str, tuple[Evidence, ...]]" = {}
    expectations: "Mapping[tuple[str, str], Expectation]" = {}
    blocked: Mapping[str, str] = {}
    providers: frozenset[str] | None = None
    ceiling: "ModelChoice | None" = None
    agent_model: str = ""
    stood_down: Mapping[str, str] = {}
    retry: Retry | None = None
    hook_model: str = ""
    pin: str = ""
    needs: Needs | None = None
    pace: float = 0.0
    ongoing: Ongoing | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One model that was considered.

    Attributes:
        model: provider-qualified.
        tier: its tier.
        expected_cost: of this unit on it, US dollars; None is unknown.
        expected_total: with what failing and stepping up would cost.
        taken: whether it was chosen.
        why: why it was, or was not.
    """

    model: str
    tier: Tier | None
    expected_cost: float | None
    expected_total: float | None
    taken: bool
    why: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt: which model a unit runs on, and why.

    Attributes:
        unit_type: whose decision it is.
        unit_id: likewise.
        phase: the phase whose model is the ceiling.
        tier: the tier the unit runs at.
        classification: how hard the unit is by itself.
        model: the model's id as its provider calls it; "" where nothing is known to run it on (no ceiling).
        provider: who serves it; "" where unknown.
        ceiling: the ceiling's id; "" where there is none.
        ceiling_provider: who sells the ceiling.
        ceiling_tier: its tier; None where unknown.
        ceiling_origin: which setting named it: ``models.execution``.
        downgraded: whether routing chose a lower or cheaper model than the ceiling.
        unchanged: why routing changed nothing: ``disabled``, ``pinned``, ``hook``, ``no ceiling``, ``unknown model``,
            ``at ceiling``, ``no cheaper model``, ``none fits``, ``stood down``, ``switching`` (leaving the conversation's
            model would not pay); "" where it did.
        reason: one line in plain words.
        steps: what each step of the pipeline that mattered said, in order.
        fallbacks: the chain of SPEC 5: chosen, configured fallbacks, configured primary; provider-qualified.
        expected_cost: US dollars, estimated; None is unknown.
        expected_total: with what failing and stepping up would cost.
        ceiling_cost: of the same unit on the ceiling.
        tokens: what it is expected to use on the chosen model.
        tokens_source: ``measured`` (from the ledger) or ``estimated`` (from the defaults).
        candidates: every model that was considered.
        adaptations: parameters changed without loss so that it fits, one line each.
        refused: why nothing may run at all (a hard budget, or nothing fits); "" otherwise.
        would: with routing off, what it would have decided; else None.
    """

    unit_type: str
    unit_id: str
    phase: Phase
    tier: Tier
    classification: Classification
    model: str = ""
    provider: str = ""
    ceiling: str = ""
    ceiling_provider: str = ""
    ceiling_tier: Tier | None = None
    ceiling_origin: str = ""
    downgraded: bool = False
    unchanged: str = ""
    reason: str = ""
    steps: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    expected_cost: float | None = None
    expected_total: float | None = None
    ceiling_cost: float | None = None
    tokens: Tokens = Tokens()
    tokens_source: str = "estimated"
    candidates: tuple[Candidate, ...] = ()
    adaptations: tuple[str, ...] = ()
    refused: str = ""
    would: "Decision | None" = None

    @property
    def shown(self) -> "Decision":
        """The one to show: with routing off, what it would have decided."""
        return self.would or self

    @property
    def ref(self) -> str:
        """The chosen model, provider-qualified; the bare id where its provider is unknown."""
        return f"{self.provider}/{self.model}" if self.provider else self.model
