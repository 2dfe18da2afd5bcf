"""What was found, as tables of Markdown. Pure."""

from collections.abc import Sequence

from bench.audit.rules import Verdict
from bench.audit.side import Total
from bench.audit.speed import Row

_MB = 1_000_000


def speed(rows: Sequence[Row], size: int) -> str:
    """Seconds, rate and memory over `size` bytes of logs."""
    head = ("", "median s", "CPU s", "MB/s", "largest process MB", "all processes MB")
    return _table(head, [(one.name, f"{one.seconds:.2f}", f"{one.cpu:.2f}", _rate(one, size), *_memory(one)) for one in rows])


def rules(verdicts: Sequence[Verdict]) -> str:
    """Both, rule by rule."""
    head = ("a log with", "ccusage tokens", "$", "stepdown tokens", "$", "", "why")
    return _table(head, [_verdict(one) for one in verdicts])


def totals(name: str, rows: Sequence[Total]) -> str:
    """Both, model by model."""
    head = (name, "days", "tokens equal", "cents equal", "ccusage tokens", "$", "stepdown tokens", "$", "unknown price")
    return _table(head, [_total(one) for one in rows])


def _total(one: Total) -> tuple[str, ...]:
    amounts = (f"{one.theirs[0]:,}", f"{one.theirs[1]:.2f}", f"{one.ours[0]:,}", f"{one.ours[1]:.2f}")
    return (one.name, str(one.days), str(one.same_tokens), str(one.same_cents), *amounts, str(one.unknown))


def _verdict(one: Verdict) -> tuple[str, ...]:
    usd = one.ours[1]
    verdict = ("same" if one.same else "differs") + ("" if one.expected else " (!)")
    theirs = (f"{one.theirs[0]:,}", f"{one.theirs[1]:.4f}")
    return (one.rule.name, *theirs, f"{one.ours[0]:,}", "unknown" if usd is None else f"{usd:.4f}", verdict, one.rule.why)


def _rate(one: Row, size: int) -> str:
    return f"{size / _MB / one.seconds:,.0f}" if "first" in one.name or "ccusage" in one.name else ""


def _memory(one: Row) -> tuple[str, str]:
    return f"{one.largest / _MB:,.0f}", f"{one.memory / _MB:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
