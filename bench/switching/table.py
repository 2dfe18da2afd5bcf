"""What was found, as tables of Markdown. Pure."""

from collections.abc import Sequence

from bench.routing.bootstrap import Interval
from bench.switching.study import KEEP, KNOWING, NONE, ONLY_UP, OURS, Result


def families(results: Sequence[Result]) -> str:
    """Ours beside never-switch and the clairvoyant, a line each."""
    head = (
        "",
        "units",
        "without routing",
        f"{KEEP}: saves",
        f"{ONLY_UP}: saves",
        "ours: saves",
        f"ours beside {ONLY_UP} (95 %)",
        "the same, SWE-bench's failing",
        f"ours beside {KEEP}",
        "switches",
        "lost to cache",
        "clairvoyant: saves",
        "ours of it",
    )
    return _table(head, [_family(one) for one in results])


def rules(results: Sequence[Result]) -> str:
    """Every rule over all families: what it saves on average, and where it is worst."""
    head = (
        "rule",
        "saves, mean of families",
        "the same, SWE-bench's failing",
        f"worst beside {ONLY_UP}",
        "worst beside no routing",
    )
    names = list(results[0].rules) if results else []
    return _table(head, [_rule(name, results) for name in names])


def details(result: Result) -> str:
    """Every rule on one family."""
    head = (
        "rule",
        "US dollars",
        "saves",
        f"beside {ONLY_UP} (95 %)",
        f"beside {KEEP} (95 %)",
        "SWE-bench: saves",
        "moved",
        "switches",
        "cache",
    )
    rows = [
        (
            name,
            f"{sum(one.assumed):,.2f}",
            _percent(result.saving(name)),
            _beside(*result.beside(name, ONLY_UP)),
            _beside(*result.beside(name, KEEP)),
            _percent(result.saving(name, hard=True)),
            str(one.moved),
            str(one.switches),
            f"{one.cache:,.2f}",
        )
        for name, one in result.rules.items()
    ]
    return _table(head, rows)


def _family(one: Result) -> tuple[str, ...]:
    ours, share = one.rules[OURS], one.share
    return (
        one.name,
        f"{one.units:,}",
        f"${sum(one.rules[NONE].assumed):,.0f}",
        _percent(one.saving(KEEP)),
        _percent(one.saving(ONLY_UP)),
        _percent(one.saving(OURS)),
        _beside(*one.beside(OURS, ONLY_UP)),
        _beside(*one.beside(OURS, ONLY_UP, hard=True)),
        f"{one.beside(OURS, KEEP)[0]:+.1%}",
        f"{ours.switches:,}",
        f"${ours.cache:,.0f}",
        _percent(one.saving(KNOWING)),
        "-" if share is None else f"{share:.0%}",
    )


def _rule(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    return (
        name,
        _percent(sum(one.saving(name) for one in results) / len(results)),
        _percent(sum(one.saving(name, hard=True) for one in results) / len(results)),
        _worst(name, ONLY_UP, results),
        _worst(name, NONE, results),
    )


def _worst(name: str, other: str, results: Sequence[Result]) -> str:
    share, where = max((one.dearer(name, other), one.name) for one in results)
    return f"{share:+.1%} ({where})"


def _beside(share: float, ends: Interval) -> str:
    return f"{share:+.1%} ({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
