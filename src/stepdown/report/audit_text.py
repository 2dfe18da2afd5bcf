"""An audit on one screen: what was spent, what the work was, and what routing would have made of it."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

from stepdown.audit.records import Audit, Place, Projection
from stepdown.money import share
from stepdown.report.audit_tables import (
    about,
    agent_titles,
    bill,
    check_table,
    date_of,
    few,
    known_usd,
    short_date,
    tail,
    unlogged,
    window_table,
)
from stepdown.report.tables import Column, clip, one_line, styled, table, text_width

MOST_LINES: Final = 40
"""One screen. At 80 columns and more nothing is longer; what is narrower may be as many times longer."""

_STEPS: Final = ((6, 5), (5, 5), (4, 5), (4, 4), (4, 3), (3, 3), (2, 3), (2, 2))
"""How many lines a group of the table and any other list may take; the first pair that fits on one screen is taken.

With the last pair the lines between the parts go as well, if need be."""
_LISTED: Final = 3
"""How many names or kinds a note gives before it says how many more there are."""
_NOTE_LINES: Final = 2
"""What a sentence may take on a screen of `_USUAL` columns, on a narrower one as many more; the rest of it is cut."""
_USUAL: Final = 80
_MOST_PLACES: Final = 26
"""How many places are listed where nothing was found."""
_NAME_CELLS: Final = 24
"""What a name may take inside a sentence."""
_PHRASE_CELLS: Final = 48
"""What somebody else's words may take inside a sentence of ours."""


def render_text(audit: Audit, width: int = 80, color: bool = False) -> str:
    """The audit as text for one screen: at most `MOST_LINES` lines at 80 columns and more; ends without a newline.

    Args:
        audit: what to show.
        width: cells of the terminal; no line is longer.
        color: whether to use colour; `stepdown.report.tables.use_color` knows.
    """
    parts: list[list[str]] = []
    for rows, listed in _STEPS:
        parts = _found(audit, width, rows, listed, color=color) if audit.first is not None else _nothing(audit, width, listed)
        parts = [[clip(line, width) for line in part] for part in parts if part]
        if sum(map(len, parts)) + len(parts) - 1 <= _room(MOST_LINES, width):
            return "\n\n".join(map("\n".join, parts))
    return "\n".join(map("\n".join, parts))


def _found(audit: Audit, width: int, rows: int, listed: int, *, color: bool) -> list[list[str]]:
    return [
        _heading(audit, width, color=color),
        bill(audit, width, rows, color=color),
        _routing(audit, width, color=color),
        [*window_table(audit, width, listed, color=color), *check_table(audit, width, listed, color=color)],
        [
            *(line for note in _notes(audit) for line in _wrapped(note, width, most=_NOTE_LINES)),
            *_assumed(audit, width),
            *_wrapped("More: stepdown audit --html FILE writes a page (--anonymous leaves names out).", width),
        ],
    ]


# ------------------------------------------------------------------------------------------------------------- heading


def _heading(audit: Audit, width: int, *, color: bool) -> list[str]:
    titles = agent_titles(audit)
    agents = ", ".join(_name(titles.get(line.key, line.key)) for line in audit.agents) or "coding agents"
    limits = _limits(audit)
    heading = [_SAMPLE] if audit.sample else []
    heading.append(f"Audit of {agents}, {_period(audit)}" + (f" ({limits})" if limits else ""))
    total = audit.total
    counts = [_counted(audit.sessions, "session"), _counted(total.units, "unit"), _counted(total.requests, "request")]
    if audit.duplicates:
        counts.append(f"{audit.duplicates:,} {'copy' if audit.duplicates == 1 else 'copies'} left out")
    read = f"; read in {audit.seconds:.1f} s" if audit.seconds else ""
    facts = [", ".join(counts) + read, _spent(audit)]
    lines = [styled(line, "bold" if color else "") for text in heading for line in _wrapped(text, width, most=_NOTE_LINES)]
    return lines + [line for text in facts for line in _wrapped(text, width, most=_NOTE_LINES)]


_SAMPLE: Final = "Sample: an invented history, nobody's own."


def _spent(audit: Audit) -> str:
    usd = known_usd(audit.total)
    if usd is None:
        return "Spent: unknown, as no model in it has a known price"
    prompts = audit.total.tokens.input + audit.total.tokens.cache_read + audit.total.tokens.cache_write
    cached = f"; {share(audit.cache.share, 1.0)} of all prompt tokens came from a cache" if prompts else ""
    return f"Spent {about(usd)} at API prices{cached}"


def _limits(audit: Audit) -> str:
    project = f"project {_name(tail(audit.project, 1))}" if audit.project and not audit.anonymous else audit.project
    return ", ".join(part for part in (project, f"since {one_line(audit.since)}" if audit.since else "") if part)


def _period(audit: Audit) -> str:
    """The days of requests as `Audit.days` has them, so that the zone is that of the audit."""
    first, last = date_of(audit.first, audit.offsets), date_of(audit.last, audit.offsets)
    if audit.days:
        first, last = dt.date.fromisoformat(audit.days[0].day), dt.date.fromisoformat(audit.days[-1].day)
    if first is None or last is None:
        return "of unknown days"
    if first == last:
        return f"{short_date(last)} {last.year}"
    return f"{short_date(first)}{f' {first.year}' if first.year != last.year else ''} to {short_date(last)} {last.year}"


# ------------------------------------------------------------------------------------------------------------- routing


def _routing(audit: Audit, width: int, *, color: bool) -> list[str]:
    modes = {projection.mode: projection for projection in audit.routing}
    lines: list[str] = []
    if (full := modes.get("full")) is not None:
        style = "yellow" if full.net_usd < 0 else "green" if full.moved else ""
        lines += [styled(line, style if color else "") for line in _wrapped(_net(full), width, most=_NOTE_LINES)]
        if full.moved:
            lines += _wrapped(_between(full), width, indent="  ", most=_NOTE_LINES)
            lines += _split(full, width, color=color)
    if (delegated := modes.get("delegated")) is not None:
        lines += _wrapped(_delegated(delegated), width, most=_NOTE_LINES)
    return lines


def _net(full: Projection) -> str:
    """What routing would have saved; a loss is said as plainly as a saving."""
    if not full.units:
        return "What routing would have saved is unknown: no unit has a known cost."
    if not full.moved:
        why = f"; most of it: {_phrase(full.kept[0].why)}" if full.kept else ""
        return f"Routing would have changed nothing{why}."
    percent = share(abs(full.net_usd), full.spent_usd)
    part = f" ({percent})" if percent else ""
    moved = f"{full.moved:,} of {_counted(full.units, 'unit')} moved"
    if full.net_usd < 0:
        return f"Routing would have cost {about(-full.net_usd)} more than the {about(full.spent_usd)} spent{part}, {moved}."
    return f"Routing would have saved {about(full.net_usd)} of {about(full.spent_usd)}{part}, {moved}."


def _between(full: Projection) -> str:
    low, high = _outcome(full.low_usd), _outcome(full.high_usd)
    return f"Range {low} (failures as on a hard benchmark) to {high} (none)."


def _outcome(net: float) -> str:
    return f"{about(-net)} lost" if net < 0 else about(net)


def _split(full: Projection, width: int, *, color: bool) -> list[str]:
    rows = [
        ["Saved by cheaper models", about(full.cheaper_usd), "units moved, at the cheaper prices"],
        ["Lost to failed attempts", about(full.failed_usd), "done again on the model that was used"],
        ["Lost to cache", about(full.cache_usd), "written anew for another model"],
    ]
    columns = [Column(shrinks=True), Column(right=True, style="bold"), Column(spare=1, style="dim")]
    return table(columns, rows, width=width, color=color, indent=2)


def _delegated(delegated: Projection) -> str:
    alone = "Sub-agents, plans, errands only"
    if not delegated.units:
        return f"{alone}: unknown, as none has a known cost."
    if not delegated.moved:
        return f"{alone}: nothing would have changed."
    net, percent = delegated.net_usd, share(abs(delegated.net_usd), delegated.spent_usd)
    word = "lost" if net < 0 else "saved"
    between = f"{_outcome(delegated.low_usd)} to {_outcome(delegated.high_usd)}"
    return f"{alone}: {about(abs(net))} {word}{f' ({percent})' if percent else ''}, {between}."


# --------------------------------------------------------------------------------------------------------------- notes


def _notes(audit: Audit) -> Iterator[str]:
    if audit.total.unknown or audit.unknown_models:
        named = [(_name(line.key) or "unnamed", line.requests) for line in audit.unknown_models]
        without = _counted(audit.total.unknown or sum(number for _, number in named), "request")
        if len(named) == 1:
            without += f" of {named[0][0]}"
        elif named:
            without += f" of {_listed([f'{name} ({number:,})' for name, number in named])}"
        yield f"No known price, and in no sum: {without}"
    yield from unlogged(audit)
    troubles = [f"{_phrase(trouble.what)} ({trouble.count:,})" for trouble in audit.troubles]
    troubles += [f"{_name(place.title)} ({_phrase(place.error)})" for place in audit.places if place.error]
    if troubles:
        yield f"Not read, or uncertain: {_listed(troubles, 'kinds')}"


def _assumed(audit: Audit, width: int) -> list[str]:
    """The first assumption in one line; the rest is counted."""
    if not audit.assumptions:
        return []
    more = f" (all {len(audit.assumptions)}: --json)" if len(audit.assumptions) > 1 else ""
    return [clip(f"Assumed: {one_line(audit.assumptions[0])}", max(1, width - len(more))) + more]


def _listed(names: Sequence[str], word: str = "") -> str:
    shown = ", ".join(names[:_LISTED])
    more = len(names) - _LISTED
    return f"{shown}, {more:,} more {word}".rstrip() if more > 0 else shown


# ------------------------------------------------------------------------------------------------------- nothing found


def _nothing(audit: Audit, width: int, listed: int) -> list[list[str]]:
    limits = _limits(audit)
    found = f"No request was found ({limits})" if limits else "No history of a coding agent was found"
    rows = [[f"  {place.title}", _state(place), place.path] for place in audit.places]
    columns = [Column(shrinks=True), Column(shrinks=True), Column(shrinks=True)]
    looked = "Looked in:" if rows else "There was no place to look in."
    troubles = [[f"  {_phrase(trouble.what)} ({trouble.count:,})"] for trouble in audit.troubles]
    return [
        _wrapped(f"{found}. {looked}", width) + table(columns, few(rows, _MOST_PLACES), width=width),
        ["Not read, or uncertain:", *(row[0] for row in few(troubles, listed))] if troubles else [],
        _wrapped("An invented history shows what an audit looks like: stepdown audit --sample", width),
    ]


def _state(place: Place) -> str:
    if place.error:
        return f"not readable: {_phrase(place.error)}"
    if not place.there:
        return "not there"
    return f"{_counted(place.files, 'log')}, no request" if place.files else "no logs in it"


# --------------------------------------------------------------------------------------------------------------- words


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _name(text: str) -> str:
    """A name of somebody else's inside a sentence of ours."""
    return clip(one_line(text), _NAME_CELLS)


def _phrase(text: str) -> str:
    """Somebody else's words inside a sentence of ours."""
    return clip(one_line(text).rstrip("."), _PHRASE_CELLS)


def _room(lines: int, width: int) -> int:
    """The lines of a usual screen that a screen of this width has; on a narrow one the same words take more."""
    return max(lines, -(-lines * _USUAL // max(1, width)))


def _wrapped(text: str, width: int, *, most: int = 0, indent: str = "") -> list[str]:
    """Lines of at most `width` cells, broken between words; the last cut where more is left.

    At most `most` lines (0: any number) of a usual screen, and as many more on one that is narrower.

    `textwrap` counts characters, and a terminal does not.
    """
    lines: list[str] = []
    most = _room(most, width)
    words = one_line(text).split()
    while words:
        line, taken = indent + words[0], 1
        if len(lines) + 1 == most:
            return [*lines, clip(indent + " ".join(words), width)]
        while taken < len(words) and text_width(longer := f"{line} {words[taken]}") <= width:
            line, taken = longer, taken + 1
        lines.append(clip(line, width))
        words = words[taken:]
        indent = indent or "  "
    return lines
