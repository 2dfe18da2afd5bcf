"""What was found, as tables of Markdown. Pure."""

from collections.abc import Sequence
from typing import Final

from bench.page import paint, questions, watched

_MB: Final = 1_000_000


def asked(rows: Sequence[questions.Row], units: int, few: int) -> str:
    """Each question, over both ledgers."""
    head = ("looking at", "question", f"{few:,} units, median ms", f"{units:,}", "times", "first", "worst")
    return _table(head, [_asked(row) for row in rows])


def _asked(row: questions.Row) -> tuple[str, ...]:
    times = f"{row.median / row.small:.1f}" if row.small else ""
    return (row.looking_at, row.question, _ms(row.small), _ms(row.median), times, _ms(row.first), _ms(row.worst))


def painted(rows: Sequence[paint.Row]) -> str:
    """When the page is seen."""
    head = ("", "opened", "first byte, median ms", "painted, median ms", "worst", "times the static page")
    return _table(
        head,
        [
            (row.name, str(row.times), _ms(row.first_byte), _ms(row.painted), _ms(row.worst), f"{row.times_base:.2f}")
            for row in rows
        ],
    )


def followed(rows: Sequence[watched.Row]) -> str:
    """What open pages cost."""
    head = ("requests/s", "pages", "CPU ms/request", "% of a core", "more, % of a core", "more, % of its CPU", "least to most")
    cells = [_followed(row) for row in rows]
    return _table((*head, "told/s", "kB/s a page", "memory MB", "requests", "problems"), cells)


def _followed(row: watched.Row) -> tuple[str, ...]:
    more = ("", "", "")
    if row.pages:
        least, most = row.shares or (0.0, 0.0)
        share = ("", "") if row.more_share is None else (_percent(row.more_share), f"{_percent(least)} to {_percent(most)}")
        more = (f"{row.more_core:.2%}"[:-1], *share)
    told = (f"{row.told:.2f}", f"{row.size / 1000:.1f}") if row.pages else ("", "")
    return (
        f"{row.rate:g}",
        str(row.pages),
        "" if row.request is None else _ms(row.request),
        f"{row.core:.2%}"[:-1],
        *more,
        *told,
        f"{row.memory / _MB:.0f}",
        f"{row.requests:,}",
        ", ".join(f"{times} {problem}" for problem, times in row.problems.items()),
    )


def _percent(share: float) -> str:
    return f"{share:.1%}"[:-1]


def verdict(what: str, *, held: bool, why: str) -> str:
    """A goal, and whether it was reached."""
    return f"- {what}: {'holds' if held else 'MISSED'} ({why})"


def _ms(seconds: float) -> str:
    found = seconds * 1000
    return f"{found:.0f}" if found >= 100 else f"{found:.1f}" if found >= 10 else f"{found:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
