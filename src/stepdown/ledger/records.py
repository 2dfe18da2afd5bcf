"""What the ledger keeps and answers: attempts, what they used, accounts, ratings, caps, meters, conversations."""

from typing import Literal

import msgspec

from stepdown.units import Tier, Tokens

Measure = Literal["usd", "tokens", "requests"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as it starts: committed before the agent runs, so that a crash cannot lose it.

    Attributes:
        project: the plan's `PlanSource.project`.
        unit_type: the unit's type.
        unit_id: the unit's id.
        title: the unit's title.
        tier: the tier it runs at.
        model: the provider-qualified model it runs on.
        ceiling: the provider-qualified ceiling; "" where there is none.
        downgraded: whether routing chose less than the ceiling.
        reason: the decision's reason, one line.
        decision: the whole decision as JSON.
        pattern: what learning files it under: ``execute-task:docs``.
        agent: the agent's name.
        started: seconds since the epoch.
        reserved_usd: what is set aside for it until it ends.
        expected: the tokens it was expected to use.
        key: its own name towards the agent and the provider, unlike any other's; "" where it has none.
        run: which run it belongs to; "" where it was imported.
        number: which attempt of its unit in that run, from 1.
        cause: why it was made: ``first``, ``fallback`` (the provider failed), ``step up`` (one tier above a quality failure),
            ``configured`` (the last try, on the model the user configured), ``again`` (a hook asked for it).
        person: whose token it came with (`Person.name`); "" is nobody's.
    """

    project: str
    unit_type: str
    unit_id: str
    title: str = ""
    tier: Tier | None = None
    model: str = ""
    ceiling: str = ""
    downgraded: bool = False
    reason: str = ""
    decision: str = ""
    pattern: str = ""
    agent: str = ""
    started: float
    reserved_usd: float = 0.0
    expected: Tokens = Tokens()
    key: str = ""
    run: str = ""
    number: int = 1
    cause: str = "first"
    person: str = ""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt used so far, or in all.

    Attributes:
        tokens: by kind.
        requests: requests to the provider.
        cost_usd: US dollars; None where a price is unknown.
        ended: whether the agent has said that it is done: what is left then is to verify, and no agent runs again for it.
        cache_loss_usd: see `Outcome`.
    """

    tokens: Tokens = Tokens()
    requests: int = 0
    cost_usd: float | None = 0.0
    ended: bool = False
    cache_loss_usd: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    Attributes:
        failure: None for success; else the kind of SPEC 8.
        message: one line about the failure.
        verified: True or False by a check; None: nothing checked it (``unverified``).
        tokens: what it used; None is unknown.
        cost_usd: what it cost; None is unknown.
        cost_source: ``reported`` (by the agent or provider), ``priced`` (tokens times list price), ``estimated``
            (likewise, of tokens that are in part a guess by size) or ``unknown``.
        ceiling_cost_usd: what the same tokens cost at the ceiling's prices, which had the caches that were written anew. None
            is unknown.
        cache_loss_usd: US dollars of its cost that went into writing caches anew because routing had changed the model,
            beyond what reading them would have cost (SPEC 10).
        requests: requests to the provider; None is unknown.
        finished: seconds since the epoch.
        evidence: what was checked and noticed, one line each: ``passed: pytest tests/test_config.py (1.2 s)``.
        kept: the git ref that keeps a failed attempt's work; "" where there is none.
    """

    failure: str | None = None
    message: str = ""
    evidence: tuple[str, ...] = ()
    kept: str = ""
    verified: bool | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    cost_source: str = "unknown"
    ceiling_cost_usd: float | None = None
    cache_loss_usd: float = 0.0
    requests: int | None = None
    finished: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the ledger holds it. `outcome` is None while it runs, or when its process died."""

    id: int
    attempt: Attempt
    outcome: Outcome | None = None
    source: str = "run"
    """``run``, or where it was imported from (``gsd``)."""
    so_far: Use = Use()
    """What `Ledger.note_use` was told last; of use while `outcome` is None."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What passed in a span of time: what ended with what it used, what still runs with what it used so far.

    Attributes:
        usd: US dollars of attempts whose cost is known; of one that runs its reservation, or what it used where that is more.
        tokens: all kinds together.
        requests: requests to providers.
        unpriced: attempts whose cost is unknown, so that `usd` can be read honestly.
        attempts: attempts in all.
    """

    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    unpriced: int = 0
    attempts: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report: attempts that share what they were grouped by.

    Attributes:
        key: the group: a tier, a unit type, a model.
        attempts: how many.
        failed: how many of them failed.
        unverified: how many successes nothing checked.
        downgraded: how many ran on less than the ceiling.
        unpriced: how many have no known cost.
        usd: US dollars of the others.
        ceiling_usd: what the ceiling would have cost for the attempts where both are known.
        comparable_usd: US dollars of exactly those attempts.
        tokens: by kind.
    """

    key: str
    attempts: int = 0
    failed: int = 0
    unverified: int = 0
    downgraded: int = 0
    unpriced: int = 0
    usd: float = 0.0
    ceiling_usd: float = 0.0
    comparable_usd: float = 0.0
    tokens: Tokens = Tokens()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Finished attempts of one pattern, tier and ceiling, or of one day and tier, added up: what they cost and saved.

    Sums over attempts, so that they are exact however many there are; `stepdown.savings.of_accounts` makes savings of them.

    Attributes:
        day: in UTC, ``2026-03-16``, when they started; "" where all days are added up.
        pattern: ``execute-task:docs``; the unit type where no pattern was recorded; "" where all are added up.
        tier: None is unknown.
        ceiling: the provider-qualified ceiling; "" where there was none, or all are added up.
        attempts: how many.
        failed: how many of them failed.
        moved: how many were a unit's first and ran on less than the ceiling.
        stepped_up: how many answered a quality failure on a stronger model.
        rescued: how many of those did the work.
        unpriced: how many have no known cost.
        usd: US dollars of the others.
        unknown: how many ran on less than the ceiling and cannot be compared with it, since a price is unknown.
        compared: how many did the work on less than the ceiling, where it would have cost something.
        compared_usd: what those cost, but for writing caches anew.
        ceiling_usd: what the same tokens cost at the ceiling's prices.
        failed_usd: what attempts below the ceiling cost that failed, but for writing caches anew.
        cache_usd: what was paid to write caches anew because routing had changed the model.
        tokens: all kinds together.
        cached: how many of the tokens were read from a cache.
    """

    day: str
    pattern: str
    tier: Tier | None
    ceiling: str
    attempts: int = 0
    failed: int = 0
    moved: int = 0
    stepped_up: int = 0
    rescued: int = 0
    unpriced: int = 0
    usd: float = 0.0
    unknown: int = 0
    compared: int = 0
    compared_usd: float = 0.0
    ceiling_usd: float = 0.0
    failed_usd: float = 0.0
    cache_usd: float = 0.0
    tokens: int = 0
    cached: int = 0


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of what units of a type used on a model.

    Attributes:
        tokens: mean tokens of a unit.
        requests: mean requests of a unit; None is unknown.
        units: how many units the mean is over.
    """

    tokens: Tokens
    requests: float | None = None
    units: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One dated event of SPEC 9: a verified first-attempt outcome, or a rating.

    Attributes:
        at: seconds since the epoch.
        pattern: ``execute-task`` or ``execute-task:docs``.
        tier: the tier it speaks about.
        model: the provider-qualified model, "" where the source did not say.
        success: whether the work was good enough.
        weight: 1 for an outcome, the rating weight for a rating.
        source: ``outcome``, ``rating`` or ``gsd``.
        project: whose it is; "" is unknown.
        unit_id: which unit.
    """

    at: float
    pattern: str
    tier: Tier
    model: str = ""
    success: bool
    weight: float = 1.0
    source: str = "outcome"
    project: str = ""
    unit_id: str = ""


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """The user's word on a finished unit (SPEC 9). A unit has one; the last one wins.

    Attributes:
        project: whose unit.
        unit_type: the unit's type.
        unit_id: the unit's id.
        word: ``over`` (a lower tier would have done), ``under`` (it was too weak) or ``ok``.
        tier: the tier the unit ended on.
        pattern: what learning files it under.
        model: the model it ended on.
        at: seconds since the epoch.
    """

    project: str
    unit_type: str
    unit_id: str
    word: str
    tier: Tier
    pattern: str
    model: str = ""
    at: float


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose work, and on what: all three have to hold; None is any.

    Attributes:
        project: the plan's `PlanSource.project`.
        person: a `Person.name`.
        model: provider-qualified.
    """

    project: str | None = None
    person: str | None = None
    model: str | None = None

    @property
    def key(self) -> str:
        """Names it: equal for equal scopes, and for no others."""
        return msgspec.json.encode([self.project, self.person, self.model]).decode()


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """A hard limit that a reservation has to fit into: what everything of its scope that started at or after `since` may use.

    Attributes:
        name: as the user knows it.
        limit: in US dollars, tokens or requests.
        since: seconds since the epoch.
        measure: ``usd``, ``tokens`` or ``requests``.
        scope: whose work.
    """

    name: str
    limit: float
    since: float = 0.0
    measure: Measure = "usd"
    scope: Scope = Scope()


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway sets aside of the budgets of a scope.

    Attributes:
        scope: whose.
        measure: of what.
        amount: how much.
        least: what of that has to be had: of less, all that is left goes to who is alone, and nothing to anybody else.
        alone: whether nothing of the gateway's own is under way.
    """

    scope: Scope
    measure: Measure = "usd"
    amount: float
    least: float = 0.0
    alone: bool = True


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A model the provider rejected for this account, until it is cleared or `until` (seconds since the epoch)."""

    model: str
    reason: str
    until: float


class PlanMeter(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription said of itself.

    Attributes:
        provider: ``anthropic``, ``openai``.
        window: ``5h`` or ``week``.
        used: fraction of the window used, 0 to 1.
        resets: seconds since the epoch at which it starts anew; None is unknown.
        at: when it was said.
    """

    provider: str
    window: str
    used: float
    resets: float | None = None
    at: float


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway knows of a conversation, so that its next request finds it after a restart.

    Attributes:
        project: whose it is.
        id: its name in that project.
        at: seconds since the epoch, when its last request came.
        state: the gateway's own record of it, in its own form; at most 64 KiB.
    """

    project: str
    id: str
    at: float
    state: bytes


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """A budget of a person's own.

    Attributes:
        limit: in `unit`.
        unit: US dollars, tokens or requests.
        window: after how long the count starts anew; ``project`` never does.
    """

    limit: float
    unit: Measure = "usd"
    window: Literal["5h", "day", "week", "month", "project"] = "month"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has a token, and what that token may.

    Attributes:
        name: unlike any other's; small letters, digits, ``-``, ``_`` and ``.``, at most 64.
        role: ``viewer`` looks at the page, ``member`` works, ``admin`` changes what concerns everybody.
        projects: whose work they see and do; ``*`` is everybody's. The first counts where a request names none.
        budgets: of their own, over all projects.
        ceiling: the model above which nothing runs for them; "" is what the request names.
        mode: what the gateway may change for them; "" is its own mode.
        models: the only models that may serve them; none is any.
        created: seconds since the epoch, as are the following; None is never.
        expires: when the token ends.
        revoked: when it was revoked.
        seen: about when it was used last.
    """

    name: str
    role: Literal["viewer", "member", "admin"] = "member"
    projects: tuple[str, ...] = ()
    budgets: tuple[Allowance, ...] = ()
    ceiling: str = ""
    mode: Literal["", "observe", "delegated", "full"] = ""
    models: tuple[str, ...] = ()
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    seen: float | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A person with what their token is recognised by.

    Attributes:
        person: whose.
        digest: SHA-256 of the token, in hexadecimal.
        page: SHA-256 of what a browser that has brought the token keeps, likewise.
    """

    person: Person
    digest: str
    page: str


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an administrator did.

    Attributes:
        at: seconds since the epoch.
        who: by their name; ``-`` is somebody at the machine itself, who needs no token.
        act: what kind of thing: ``token created``, ``mode``, ``pin``.
        what: of whom or of what, one line.
        id: its number in the ledger.
    """

    at: float
    who: str
    act: str
    what: str = ""
    id: int = 0
