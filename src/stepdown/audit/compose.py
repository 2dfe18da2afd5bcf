"""From a history to an `Audit`: sums by day, model, project, kind of unit, and how hard the work was. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final

from stepdown.audit.check import checks
from stepdown.audit.history import History, Work
from stepdown.audit.nature import shown
from stepdown.audit.price import VARIANTS, Prices
from stepdown.audit.projection import Fate, Projector, summed
from stepdown.audit.records import Audit, Cache, Day, Line, Projection, TopUnit, Trouble
from stepdown.audit.windows import windows
from stepdown.policy import Policy
from stepdown.sessions.records import Request
from stepdown.units import TIERS, Tokens

MODES: Final = ("delegated", "full")
_TOP: Final = 20
_UNKNOWN: Final = "unknown"

_ASSUMED: Final = """
Amounts are the tokens at API list prices of their day, not what a subscription costs.

A cheaper model is taken to use as many tokens and requests as the model that did the work.

Nothing is learned on the way: cheaper models fail as often as stepdown takes them to before it has seen any of your work (10 %,
20 points more for each tier below the work's). What fails costs its attempt, and is done again on its own model. The low end of
a range is what SWE-bench Verified says: light models fail 38 %, standard ones 30 %. At the high end nothing fails.

Cheaper models are those of today's catalogue and of the same provider, at their price on that day. Whether each could have
served a request is judged by its size and by its using tools.

A conversation changes its model only at the beginning of a turn, and only where that pays after writing the cache anew. A cache
is taken to be kept for five minutes, or an hour where the log says so.

How hard work was is judged afterwards, by what it took. What routing would have done is decided by what was known at the
beginning.
"""
ASSUMPTIONS: Final = tuple(" ".join(part.split()) for part in _ASSUMED.split("\n\n"))
"""What the projection takes for granted, one sentence or two each."""


def compose(
    history: History,
    prices: Prices,
    projector: Projector,
    policy: Policy,
    day_of: Callable[[float], str],
    *,
    whole: bool = True,
) -> Audit:
    """Everything but where was looked, when, and for whom, which the caller fills in.

    Args:
        history: the work.
        prices: of requests.
        projector: of the same history.
        policy: the thresholds.
        day_of: the ISO date of a time, in the zone of the report.
        whole: whether it is the history of all projects; a plan's windows cannot be told from a part of its use.
    """
    fates = {mode: projector.follow(mode) for mode in MODES}
    routing = tuple(summed(mode, history.units, fates[mode]) for mode in MODES)
    work = [shown(one, policy).value for one in history.units]
    sums = _Sums(history, prices, work, day_of)
    times = [request.at for one in history.units for request in (one.requests[0], one.requests[-1])]
    return Audit(
        made=0.0,
        zone="",
        first=min(times, default=None),
        last=max(times, default=None),
        sessions=len({(one.agent, one.turn.session) for one in history.units}),
        duplicates=history.duplicates,
        total=sums.total(),
        days=sums.days(),
        agents=sums.lines("agent"),
        models=sums.lines("model"),
        projects=sums.lines("project"),
        types=sums.lines("type"),
        work=_by_tier(sums.lines("work")),
        tiers=_by_tier(sums.lines("tier")),
        cache=_cache(history),
        top=tuple(_top(history.units, fates["full"], work, prices)),
        routing=routing,
        windows=tuple(windows(history, [_share(fate) for fate in fates["full"]])) if whole else (),
        checks=tuple(checks(history)),
        troubles=_troubles(history, routing),
        unknown_models=sums.unpriced(),
        assumptions=ASSUMPTIONS,
    )


class _Row:
    """A line that is being added up."""

    __slots__ = ("cache_read", "cache_write", "input", "output", "requests", "units", "unknown", "usd")

    def __init__(self) -> None:
        self.units: set[int] = set()
        self.requests = self.input = self.output = self.cache_read = self.cache_write = self.unknown = 0
        self.usd = 0.0

    def add(self, unit: int, requests: Sequence[tuple[Request, float | None]]) -> None:
        self.units.add(unit)
        for request, cost in requests:
            count = request.count or 1
            self.requests += count
            self.input += request.input
            self.output += request.output
            self.cache_read += request.cache_read
            self.cache_write += request.cache_write
            if cost is None:
                self.unknown += count
            else:
                self.usd += cost

    def take(self, other: "_Row") -> None:
        self.units |= other.units
        for name in ("requests", "input", "output", "cache_read", "cache_write", "unknown", "usd"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def line(self, key: str) -> Line:
        tokens = Tokens(input=self.input, output=self.output, cache_read=self.cache_read, cache_write=self.cache_write)
        return Line(key=key, units=len(self.units), requests=self.requests, tokens=tokens, usd=self.usd, unknown=self.unknown)


_Cell = tuple[str, str, str, str, str, str, str]
_FIELDS: Final = ("day", "agent", "model", "project", "type", "work", "tier")


class _Sums:
    """Every request added once, to the finest cell it belongs to; coarser sums are made of these."""

    def __init__(self, history: History, prices: Prices, work: Sequence[str], day_of: Callable[[float], str]) -> None:
        self._cells: defaultdict[_Cell, _Row] = defaultdict(_Row)
        for number, (one, kind) in enumerate(zip(history.units, work, strict=True)):
            project, of = one.turn.project or _UNKNOWN, one.turn.type
            parts: defaultdict[tuple[str, str], list[tuple[Request, float | None]]] = defaultdict(list)
            for request, cost in zip(one.requests, one.costs, strict=True):
                parts[day_of(request.at), request.model].append((request, cost))
            for (day, name), requests in parts.items():
                model = prices.model(requests[0][0])
                tier = _UNKNOWN if model is None or model.tier is None else model.tier.value
                self._cells[day, one.agent, name or _UNKNOWN, project, of, kind, tier].add(number, requests)

    def total(self) -> Line:
        total = _Row()
        for row in self._cells.values():
            total.take(row)
        return total.line("total")

    def lines(self, field: str) -> tuple[Line, ...]:
        """By one of `_FIELDS`, the dearest first."""
        return _lines((cell[_FIELDS.index(field)], row) for cell, row in self._cells.items())

    def unpriced(self) -> tuple[Line, ...]:
        """Models of which some request has no known price."""
        return _lines((cell[2], row) for cell, row in self._cells.items() if row.unknown)

    def days(self) -> tuple[Day, ...]:
        """By day, in order."""
        days: defaultdict[str, list[tuple[_Cell, _Row]]] = defaultdict(list)
        for cell, row in self._cells.items():
            days[cell[0]].append((cell, row))
        return tuple(self._day(day, days[day]) for day in sorted(days))

    def _day(self, day: str, cells: Sequence[tuple[_Cell, _Row]]) -> Day:
        total = _Row()
        work: Counter[str] = Counter()
        tiers: Counter[str] = Counter()
        for cell, row in cells:
            total.take(row)
            work[cell[5]] += row.usd  # type: ignore[assignment]  # a Counter of dollars
            tiers[cell[6]] += row.usd  # type: ignore[assignment]  # likewise
        return Day(
            day=day,
            total=total.line(day),
            models=_lines((cell[2], row) for cell, row in cells),
            tiers=dict(tiers),
            work=dict(work),
        )


def _lines(rows: Iterable[tuple[str, _Row]]) -> tuple[Line, ...]:
    found: defaultdict[str, _Row] = defaultdict(_Row)
    for key, row in rows:
        found[key].take(row)
    lines = [row.line(key) for key, row in found.items()]
    return tuple(sorted(lines, key=lambda line: (-line.usd, -line.tokens.total, line.key)))


def _by_tier(lines: Iterable[Line]) -> tuple[Line, ...]:
    order = {tier.value: tier.rank for tier in TIERS}
    return tuple(sorted(lines, key=lambda line: order.get(line.key, len(order))))


def _cache(history: History) -> Cache:
    prompt = read = written = unknown = 0
    read_usd: float | None = None
    write_usd: float | None = None
    without: float | None = None
    for work in history.units:
        for request, terms in zip(work.requests, work.terms, strict=True):
            prompt += request.prompt
            read += request.cache_read
            written += request.cache_write
            cached = request.cache_read + request.cache_write
            if not cached:
                continue
            # What a log itself says of a cost is for all kinds of tokens together.
            times = VARIANTS.get(request.variant)
            if terms is None or times is None:
                unknown += request.count or 1
                continue
            paid_read = times * request.cache_read * terms[2]
            paid_write = times * ((request.cache_write - request.written_1h) * terms[3] + request.written_1h * terms[4])
            if request.cache_read:
                read_usd = (read_usd or 0.0) + paid_read
            if request.cache_write:
                write_usd = (write_usd or 0.0) + paid_write
            without = (without or 0.0) + times * cached * terms[0] - paid_read - paid_write
    return Cache(
        share=read / prompt if prompt else 0.0,
        read_usd=read_usd if read else 0.0,
        write_usd=write_usd if written else 0.0,
        without_usd=without if read or written else 0.0,
        unknown=unknown,
    )


def _top(units: Sequence[Work], fates: Sequence[Fate | None], work: Sequence[str], prices: Prices) -> Iterable[TopUnit]:
    ranked = sorted(range(len(units)), key=lambda number: _dearness(units[number]))
    for number in ranked[:_TOP]:
        one, fate = units[number], fates[number]
        model = prices.model(one.requests[0])
        yield TopUnit(
            at=one.requests[0].at,
            project=one.turn.project or _UNKNOWN,
            agent=one.agent,
            type=one.turn.type,
            id=one.turn.id,
            model=one.requests[0].model or _UNKNOWN,
            tier=_UNKNOWN if model is None or model.tier is None else model.tier.value,
            work=work[number],
            requests=sum(request.count or 1 for request in one.requests),
            tokens=sum(map(attrgetter("tokens"), one.requests), Tokens()),
            usd=_known(one),
            unknown=sum(request.count or 1 for request, cost in zip(one.requests, one.costs, strict=True) if cost is None),
            routed=fate.model.id if fate is not None and fate.model is not None else "",
            saved_usd=fate.net if fate is not None and fate.model is not None else 0.0,
        )


def _dearness(work: Work) -> tuple[bool, float]:
    """What sorts units, the dearest first; of what no price is known, the largest."""
    usd = _known(work)
    if usd is None:
        return True, -sum(request.prompt + request.output for request in work.requests)
    return False, -usd


def _known(work: Work) -> float | None:
    """What is known of what it cost; None where nothing is."""
    costs = [cost for cost in work.costs if cost is not None]
    return sum(costs) if costs else None


def _share(fate: Fate | None) -> float:
    """What a unit would have cost under routing, as a fraction of what it cost."""
    return 1.0 if fate is None or not fate.spent else (fate.spent - fate.net) / fate.spent


def _troubles(history: History, routing: Sequence[Projection]) -> tuple[Trouble, ...]:
    found: Counter[str] = Counter(history.troubles)
    variants: Counter[str] = Counter(
        request.variant
        for work in history.units
        for request, cost in zip(work.requests, work.costs, strict=True)
        if cost is None and request.variant not in VARIANTS
    )
    for variant, number in variants.items():
        found[f"requests billed as '{variant}', whose price is not known"] += number
    uncompared = len(history.units) - (routing[-1].units if routing else 0)
    if uncompared:
        found["units with a request of unknown cost, left out of what routing would have saved"] += uncompared
    return tuple(Trouble(what=what, count=number) for what, number in found.most_common())
