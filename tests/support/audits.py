"""Audits for the tests of what shows them: a full one whose sums agree, an empty one, and any of them with other strings."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from stepdown.audit.records import (
    Audit,
    Cache,
    Check,
    Day,
    Kept,
    Line,
    Move,
    Place,
    Projection,
    TopUnit,
    Trouble,
    Window,
)
from stepdown.units import Tokens

FIRST: Final = datetime(2026, 9, 28, 7, 30, tzinfo=UTC)
"""When the full audit's first request was answered; a Monday."""

BERLIN: Final = ((FIRST.timestamp(), 7200), (datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp(), 3600))
"""How far it is ahead of UTC from then on, until March 2027."""

MODELS: Final[dict[str, tuple[str, str, tuple[float, float, float, float] | None]]] = {
    "claude-opus-5-5": ("claude", "heavy", (5.0, 25.0, 0.5, 6.25)),
    "claude-sonnet-5-5": ("claude", "standard", (3.0, 15.0, 0.3, 3.75)),
    "claude-haiku-5-5": ("claude", "light", (1.0, 5.0, 0.1, 1.25)),
    "gpt-5.5": ("codex", "heavy", (4.0, 20.0, 0.4, 0.0)),
    "gpt-5.4-mini": ("codex", "light", (0.5, 2.0, 0.05, 0.0)),
    "acme-coder-2": ("opencode", "unknown", None),
}
"""By name: the agent, the tier, and US dollars per million input, output, cache read and cache write tokens. No list prices."""

_TYPES: Final = (
    "execute-task",
    "execute-task",
    "execute-task",
    "plan-slice",
    "subagent/Explore",
    "hook/title",
    "complete-slice",
)
_PROJECTS: Final = ("/home/ada/src/shop", "/home/ada/src/shop/api", "/home/ada/src/telescope", "/home/ada/notes", "")
_TIERS: Final = ("light", "standard", "heavy", "unknown")
_WORK: Final = _TIERS[:3]


class _Unit(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    agent: str
    model: str
    tier: str
    work: str
    project: str
    type: str
    id: str
    requests: int
    tokens: Tokens
    usd: float | None


def full_audit(*, days: int = 56, models: int = 0, seed: int = 6) -> Audit:
    """An audit with something in each field. Its sums agree: days, models, projects, types, work and tiers add up to `total`.

    Args:
        days: how many days it covers; some of them have no requests.
        models: how many more models there are.
        seed: another one is another history.
    """
    chance = random.Random(seed)
    units = list(_units(chance, days, [*MODELS, *(f"provider/model-{number}" for number in range(models))]))
    total = _line("total", units)
    last = max(unit.at for unit in units)
    return Audit(
        made=(last + timedelta(hours=9)).timestamp(),
        zone="Europe/Berlin",
        offsets=BERLIN,
        since="2026-09-28",
        first=min(unit.at for unit in units).timestamp(),
        last=last.timestamp(),
        seconds=2.41,
        places=_PLACES,
        sessions=len(units) // 3 + 1,
        duplicates=1273,
        total=total,
        days=tuple(_day(day, members) for day, members in _by(units, lambda unit: f"{unit.at:%Y-%m-%d}")),
        agents=_lines(units, lambda unit: unit.agent),
        models=_lines(units, lambda unit: unit.model),
        projects=_lines(units, lambda unit: unit.project),
        types=_lines(units, lambda unit: unit.type),
        work=tuple(_line(tier, [unit for unit in units if unit.work == tier]) for tier in _WORK),
        tiers=tuple(_line(tier, [unit for unit in units if unit.tier == tier]) for tier in _TIERS),
        cache=_cache(total, units),
        top=tuple(_top(unit) for unit in sorted(units, key=lambda unit: -(unit.usd or 0.0))[:12]),
        routing=(projection("delegated", units, 0.31), projection("full", units, 0.74)),
        windows=tuple(_windows(chance, days)),
        checks=_CHECKS,
        troubles=(Trouble(what="half-written lines", count=14), Trouble(what="files that could not be opened", count=1)),
        unknown_models=tuple(line for line in _lines(units, lambda unit: unit.model) if line.unknown),
        assumptions=_ASSUMPTIONS,
    )


def empty_audit() -> Audit:
    """An audit of a machine without logs."""
    places = tuple(msgspec.structs.replace(place, there=False, files=0, bytes=0, error="") for place in _PLACES)
    return Audit(made=FIRST.timestamp(), zone="UTC", places=places)


def losing(audit: Audit) -> Audit:
    """The same, but routing would have cost money."""
    routing = tuple(
        msgspec.structs.replace(
            made,
            cheaper_usd=made.cheaper_usd / 4,
            failed_usd=made.cheaper_usd / 2,
            routed_usd=made.spent_usd - made.cheaper_usd / 4 + made.cheaper_usd / 2 + made.cache_usd,
            low_usd=-made.cheaper_usd,
            high_usd=made.cheaper_usd / 4 - made.cache_usd,
        )
        for made in audit.routing
    )
    return msgspec.structs.replace(audit, routing=routing)


def with_strings(audit: Audit, other: Callable[[str], str], *, keep: Iterable[str] = ()) -> Audit:
    """The same with other strings, keys of dictionaries and the dates of days left as they are.

    Args:
        audit: of which.
        other: what to put for a string.
        keep: strings that are left.
    """
    kept = {"", audit.zone, *_TIERS, *(day.day for day in audit.days), *keep}

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return value if value in kept else other(value)
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [changed(item) for item in value]
        return value

    return msgspec.convert(changed(msgspec.json.decode(msgspec.json.encode(audit))), Audit)


def projection(mode: str, units: Sequence[_Unit], moved: float) -> Projection:
    """A projection that moves a part of what ran on heavy models, and adds up."""
    known = [unit for unit in units if unit.usd is not None]
    heavy = [unit for unit in known if unit.tier == "heavy" and unit.work != "heavy"]
    chosen = heavy[: round(len(heavy) * moved)]
    moves = []
    for (type_, before), members in _by(chosen, lambda unit: (unit.type, unit.model)):
        usd = sum(unit.usd or 0.0 for unit in members)
        after = "claude-haiku-5-5" if before.startswith("claude") else "gpt-5.4-mini"
        moves.append(Move(type=type_, before=before, after=after, units=len(members), usd=usd, net_usd=usd * 0.52))
    spent, cheaper = sum(unit.usd or 0.0 for unit in known), sum(move.usd for move in moves) * 0.68
    failed, cache = cheaper * 0.15, cheaper * 0.085
    kept_usd = spent - sum(move.usd for move in moves)
    return Projection(
        mode=mode,
        units=len(known),
        moved=len(chosen),
        spent_usd=spent,
        routed_usd=spent - (cheaper - failed - cache),
        cheaper_usd=cheaper,
        failed_usd=failed,
        cache_usd=cache,
        low_usd=cheaper * 0.43,
        high_usd=cheaper * 0.93,
        moves=tuple(sorted(moves, key=lambda move: -move.net_usd)),
        kept=(
            Kept(why="the work was heavy", units=len(known) - len(heavy), usd=kept_usd * 0.8),
            Kept(why="switching would have cost more than it saved", units=len(heavy) - len(chosen), usd=kept_usd * 0.2),
        ),
    )


def _units(chance: random.Random, days: int, models: Sequence[str]) -> Iterable[_Unit]:
    """Work from Monday to Saturday, more of it on some days than on others."""
    weights = [30, 24, 9, 12, 6, 3, *[2] * (len(models) - len(MODELS))]
    for day in range(days):
        date = FIRST + timedelta(days=day)
        if day and date.weekday() == 6:
            continue
        for number in range(chance.randint(2, 16 if date.weekday() < 5 else 4)):
            model = chance.choices(models, weights)[0]
            agent, tier, price = MODELS.get(model, ("opencode", "standard", (1.0, 4.0, 0.1, 0.0)))
            type_ = chance.choice(_TYPES)
            requests = 1 if type_ == "hook/title" else chance.randint(2, 60)
            prompt = int(requests * chance.lognormvariate(10.2, 0.8))
            tokens = Tokens(
                input=prompt // 25,
                output=int(requests * chance.lognormvariate(6.2, 0.6)),
                cache_read=prompt,
                cache_write=prompt // 12 if agent == "claude" else 0,
            )
            yield _Unit(
                at=date + timedelta(minutes=40 * number),
                agent=agent,
                model=model,
                tier=tier,
                work=chance.choices(_WORK, [45, 35, 20])[0],
                project=chance.choices(_PROJECTS, [40, 20, 25, 10, 2])[0],
                type=type_,
                id=f"M001/S{day % 7 + 1:02d}/T{number + 1:02d}" if type_ == "complete-slice" else "",
                requests=requests,
                tokens=tokens,
                usd=None if price is None else _cost(tokens, price),
            )


def _cost(tokens: Tokens, price: tuple[float, float, float, float]) -> float:
    used = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write)
    return sum(number * dollars for number, dollars in zip(used, price, strict=True)) / 1e6


def _by(units: Iterable[_Unit], key: Callable[[_Unit], Any]) -> list[tuple[Any, list[_Unit]]]:
    groups: defaultdict[Any, list[_Unit]] = defaultdict(list)
    for unit in units:
        groups[key(unit)].append(unit)
    return list(groups.items())


def _line(key: str, units: Sequence[_Unit]) -> Line:
    return Line(
        key=key,
        units=len(units),
        requests=sum(unit.requests for unit in units),
        tokens=sum((unit.tokens for unit in units), Tokens()),
        usd=sum(unit.usd for unit in units if unit.usd is not None),
        unknown=sum(unit.requests for unit in units if unit.usd is None),
    )


def _lines(units: Sequence[_Unit], key: Callable[[_Unit], str]) -> tuple[Line, ...]:
    lines = [_line(name, members) for name, members in _by(units, key)]
    return tuple(sorted(lines, key=lambda line: (-line.usd, line.key)))


def _day(day: str, units: Sequence[_Unit]) -> Day:
    tiers: defaultdict[str, float] = defaultdict(float)
    work: defaultdict[str, float] = defaultdict(float)
    for unit in units:
        tiers[unit.tier] += unit.usd or 0.0
        work[unit.work] += unit.usd or 0.0
    return Day(
        day=day, total=_line(day, units), models=_lines(units, lambda unit: unit.model), tiers=dict(tiers), work=dict(work)
    )


def _cache(total: Line, units: Sequence[_Unit]) -> Cache:
    read = write = without = 0.0
    for unit in units:
        price = MODELS.get(unit.model, ("", "", None))[2]
        if price is not None:
            read += unit.tokens.cache_read * price[2] / 1e6
            write += unit.tokens.cache_write * price[3] / 1e6
            without += unit.tokens.cache_read * (price[0] - price[2]) / 1e6
    used = total.tokens
    prompt = used.input + used.cache_read + used.cache_write
    return Cache(share=used.cache_read / prompt, read_usd=read, write_usd=write, without_usd=without)


def _top(unit: _Unit) -> TopUnit:
    moved = unit.tier == "heavy" and unit.work != "heavy"
    return TopUnit(
        at=unit.at.timestamp(),
        project=unit.project,
        agent=unit.agent,
        type=unit.type,
        id=unit.id,
        model=unit.model,
        tier="" if unit.tier == "unknown" else unit.tier,
        work=unit.work,
        requests=unit.requests,
        tokens=unit.tokens,
        usd=unit.usd or 0.0,
        routed=("claude-haiku-5-5" if unit.agent == "claude" else "gpt-5.4-mini") if moved else "",
        saved_usd=(unit.usd or 0.0) * 0.52 if moved else 0.0,
    )


def _windows(chance: random.Random, days: int) -> Iterable[Window]:
    """Two of five hours a day, and one a week, for both agents that sell plans."""
    for agent in ("claude", "codex"):
        reported = agent == "codex"
        for day in range(days):
            for part in range(2):
                start = FIRST + timedelta(days=day, hours=5 * part)
                used = chance.betavariate(2, 3)
                yield _window(agent, "5h", start, timedelta(hours=5), used if reported else None, full=used > 0.8)
        for week in range(-(-days // 7)):
            used = chance.betavariate(4, 3)
            start = FIRST + timedelta(days=7 * week)
            yield _window(agent, "week", start, timedelta(days=7), used if reported else None, full=used > 0.85)


def _window(agent: str, window: str, start: datetime, length: timedelta, used: float | None, *, full: bool) -> Window:
    usd = 40.0 * (0.9 if full else used or 0.3) * (1 if window == "5h" else 6)
    return Window(
        agent=agent,
        window=window,
        start=start.timestamp(),
        end=(start + length).timestamp(),
        usd=usd,
        requests=int(usd * 9),
        used=1.0 if full and used is not None else used,
        full=(start + length * 0.7).timestamp() if full else None,
        full_usd=usd * 0.96 if full else None,
        source="estimated" if used is None else "reported",
        routed_usd=usd * 0.61,
    )


_PLACES: Final = (
    Place(agent="claude", title="Claude Code", path="/home/ada/.claude/projects", there=True, files=412, bytes=1_204_812_331),
    Place(agent="codex", title="Codex", path="/home/ada/.codex/sessions", there=True, files=88, bytes=91_220_117),
    Place(
        agent="opencode", title="OpenCode", path="/home/ada/.local/share/opencode/storage", there=True, files=31, bytes=812_004
    ),
    Place(agent="pi", title="pi", path="/home/ada/.pi/agent/sessions", there=True, error="permission denied"),
    Place(agent="gsd", title="GSD", path="/home/ada/src/shop/.gsd/metrics.json"),
)

_CHECKS: Final = (
    Check(
        agent="claude",
        sessions=120,
        theirs=Tokens(input=812_400, output=1_204_000, cache_read=402_113_000, cache_write=30_114_900),
        ours=Tokens(input=812_400, output=1_203_100, cache_read=402_113_000, cache_write=30_114_900),
        theirs_usd=812.4412,
        ours_usd=812.4187,
        differing=2,
        unlogged=Tokens(input=700, output=200),
        unlogged_usd=0.0017,
        notes=("Claude Code counts requests whose answer was never written to the log.",),
    ),
    Check(
        agent="codex",
        sessions=88,
        theirs=Tokens(input=2_000_100, output=310_800, cache_read=51_200_000),
        ours=Tokens(input=2_000_100, output=310_800, cache_read=51_200_000),
    ),
)

_ASSUMPTIONS: Final = (
    "Prices are the providers' list prices of the day of each request.",
    "A cheaper model fails as often as it did on recorded work of the same kind; a failed attempt is paid and done again.",
    "A cheaper model needs as many tokens as the one that was used.",
    "Subscriptions are shown at API prices, since that is the only price their tokens have.",
)
