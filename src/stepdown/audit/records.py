"""The result of an audit: the same for the screen, the page and JSON. All amounts in US dollars at API prices, estimated."""

from typing import Final

import msgspec

from stepdown.units import Tokens

VERSION: Final = 1
"""Of the JSON document."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where was looked.

    Attributes:
        agent: ``claude``, ...
        title: what people call it.
        path: the directory or file.
        there: whether there is anything.
        files: logs found.
        bytes: their size.
        error: why it could not be read; "" otherwise.
    """

    agent: str
    title: str
    path: str
    there: bool = False
    files: int = 0
    bytes: int = 0
    error: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to one day, model, project, kind of unit, agent or tier; or to all of them.

    Attributes:
        key: which.
        units: how many units.
        requests: how many requests.
        tokens: of those.
        usd: what those cost whose price is known.
        unknown: how many of the requests have no known price; they are in no sum of dollars.
    """

    key: str
    units: int = 0
    requests: int = 0
    tokens: Tokens = Tokens()
    usd: float = 0.0
    unknown: int = 0


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day, in the zone of `Audit.zone`.

    Attributes:
        day: ISO date.
        total: everything of that day.
        models: per model as `Line.key`.
        tiers: dollars by the tier of the model that was used: ``light``, ``standard``, ``heavy``, ``unknown``.
        work: dollars by how hard the work was, seen afterwards: ``light``, ``standard``, ``heavy``.
    """

    day: str
    total: Line
    models: tuple[Line, ...] = ()
    tiers: dict[str, float] = {}
    work: dict[str, float] = {}


class TopUnit(msgspec.Struct, frozen=True, kw_only=True):
    """One of the dearest units.

    Attributes:
        at: when it began, seconds since the epoch.
        project: its directory.
        agent: which agent.
        type: the unit's type.
        id: as a plan names it; "" where none does.
        model: what most of it ran on.
        tier: the tier of that model; "" where unknown.
        work: how hard it was, seen afterwards.
        requests: how many.
        tokens: of those.
        usd: what those of its requests cost whose price is known; None where none of them has one.
        unknown: how many of its requests have no known price.
        routed: the model that routing in mode ``full`` would have started it on; "" where it would have left it.
        saved_usd: what that would have saved, in expectation.
    """

    at: float
    project: str
    agent: str
    type: str
    id: str
    model: str
    tier: str
    work: str
    requests: int
    tokens: Tokens
    usd: float | None
    unknown: int = 0
    routed: str = ""
    saved_usd: float = 0.0


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Units that routing would have moved from one model to another.

    Attributes:
        type: the units' type.
        before: what they ran on.
        after: what they would have started on.
        units: how many.
        usd: what they cost.
        net_usd: what would have been saved, losses taken off.
    """

    type: str
    before: str
    after: str
    units: int
    usd: float
    net_usd: float


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Units that routing would have left where they were.

    Attributes:
        why: in plain words.
        units: how many.
        usd: what they cost.
    """

    why: str
    units: int
    usd: float


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """What routing would have made of the same units.

    ``spent_usd - routed_usd == net_usd == cheaper_usd - failed_usd - cache_usd``.

    Attributes:
        mode: ``delegated`` (a plan's units, sub-agents, what agents do for themselves) or ``full`` (a person's turns as well).
        units: those whose cost is known.
        moved: of those, how many would have started on another model.
        spent_usd: what they cost.
        routed_usd: what they would have cost, in expectation.
        cheaper_usd: saved by cheaper models.
        failed_usd: lost to attempts that would have failed and been done again.
        cache_usd: lost to writing caches anew.
        low_usd: the net where cheap models fail as often as was measured on a hard benchmark (``Policy.hard_failure_*``).
        high_usd: the net where nothing that was moved fails.
        moves: by type and models, the most saving first.
        kept: by reason, the dearest first.
    """

    mode: str
    units: int = 0
    moved: int = 0
    spent_usd: float = 0.0
    routed_usd: float = 0.0
    cheaper_usd: float = 0.0
    failed_usd: float = 0.0
    cache_usd: float = 0.0
    low_usd: float = 0.0
    high_usd: float = 0.0
    moves: tuple[Move, ...] = ()
    kept: tuple[Kept, ...] = ()

    @property
    def net_usd(self) -> float:
        """What is left of the saving; negative where routing would have cost money."""
        return self.cheaper_usd - self.failed_usd - self.cache_usd


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One window of a plan.

    Attributes:
        agent: whose plan: ``claude``, ``codex``.
        window: ``5h`` or ``week``.
        start: seconds since the epoch.
        end: likewise.
        usd: what was used in it, at API prices: the sum of what has a known price; None where requests were made and none has.
        requests: how many.
        unknown: of those, how many have no known price.
        used: the highest fraction of it that the provider reported, 0 to 1; None where no log says.
        full: when it was full (a request was refused, or the meter said so), seconds since the epoch; None where it was not.
        full_usd: what was used in it by then, as `usd`; None also where it was not full.
        source: ``reported`` (start and end by the provider's word) or ``estimated`` (from when requests were made).
        routed_usd: what would have been used in it under routing in mode ``full``, as `usd`: by the time it was full, or in
            all of it where it was not.
    """

    agent: str
    window: str
    start: float
    end: float
    usd: float | None
    requests: int
    unknown: int = 0
    used: float | None = None
    full: float | None = None
    full_usd: float | None = None
    source: str = "estimated"
    routed_usd: float | None = 0.0


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Our sums beside what an agent counted itself, over the sessions of which both know something.

    Attributes:
        agent: which.
        sessions: how many sessions are compared.
        theirs: tokens by its count.
        ours: tokens by ours.
        theirs_usd: dollars by its count; None where it counts none.
        ours_usd: dollars by ours, over the same sessions; None where a price is unknown.
        unlogged: of `theirs`, the tokens of models that the logs of their session have no request of.
        unlogged_usd: of `theirs_usd`, what those cost; None where it counts none for them.
        differing: sessions in which the tokens differ.
        notes: why they may differ.
    """

    agent: str
    sessions: int
    theirs: Tokens
    ours: Tokens
    theirs_usd: float | None = None
    ours_usd: float | None = None
    unlogged: Tokens = Tokens()
    unlogged_usd: float | None = 0.0
    differing: int = 0
    notes: tuple[str, ...] = ()


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be read or made sense of, or is uncertain.

    Attributes:
        what: in plain words, in the plural.
        count: how often.
    """

    what: str
    count: int


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """What caching did.

    Attributes:
        share: cache reads as a fraction of all prompt tokens, 0 to 1.
        read_usd: paid for reading; None where something was read, but nothing of it at a known price.
        write_usd: paid for writing; None likewise.
        without_usd: what the same prompts would have cost beyond that without any cache; None where a cache was used, but
            never at a known price.
        unknown: how many requests used a cache at a price that is not known; they are in none of the amounts.
    """

    share: float = 0.0
    read_usd: float | None = 0.0
    write_usd: float | None = 0.0
    without_usd: float | None = 0.0
    unknown: int = 0


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an audit found.

    Attributes:
        version: of this document.
        made: when, seconds since the epoch.
        zone: the time zone of days: ``Europe/Berlin``, ``UTC+02:00``, ``UTC+01:00 and UTC+02:00``.
        offsets: from when on, in seconds since the epoch, that zone is how many seconds ahead of UTC; in order. Before the
            first it is as at the first. () is UTC.
        sample: whether this is the bundled sample and nobody's history.
        anonymous: whether names of projects and paths are left out.
        since: the ISO date from which was read; "" is everything.
        project: the project it is limited to; "" is all.
        first: of the first request, seconds since the epoch; None where there is none.
        last: of the last.
        seconds: how long it took.
        places: where was looked.
        sessions: how many sessions.
        duplicates: copies of requests that were counted once (resumed and forked sessions).
        total: everything.
        days: in order; days without requests are left out.
        agents: by agent, the dearest first.
        models: by model as the logs name it.
        projects: by directory.
        types: by kind of unit.
        work: by how hard the work was, seen afterwards: light, standard, heavy; `key` is the tier.
        tiers: by the tier of the model that was used; ``unknown`` last.
        cache: what caching did.
        top: the dearest units; those of which no cost is known come last, the largest first.
        routing: what routing would have made of it: delegated, then full.
        windows: of plans, in order; those of which nothing is known but their use included.
        checks: per agent that counts itself.
        troubles: the most frequent first.
        unknown_models: requests of models without a known price, by name.
        assumptions: one sentence each.
    """

    version: int = VERSION
    made: float
    zone: str
    offsets: tuple[tuple[float, int], ...] = ()
    sample: bool = False
    anonymous: bool = False
    since: str = ""
    project: str = ""
    first: float | None = None
    last: float | None = None
    seconds: float = 0.0
    places: tuple[Place, ...] = ()
    sessions: int = 0
    duplicates: int = 0
    total: Line = Line(key="total")
    days: tuple[Day, ...] = ()
    agents: tuple[Line, ...] = ()
    models: tuple[Line, ...] = ()
    projects: tuple[Line, ...] = ()
    types: tuple[Line, ...] = ()
    work: tuple[Line, ...] = ()
    tiers: tuple[Line, ...] = ()
    cache: Cache = Cache()
    top: tuple[TopUnit, ...] = ()
    routing: tuple[Projection, ...] = ()
    windows: tuple[Window, ...] = ()
    checks: tuple[Check, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    unknown_models: tuple[Line, ...] = ()
    assumptions: tuple[str, ...] = ()
