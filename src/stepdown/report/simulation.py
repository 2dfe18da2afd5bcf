"""What a simulation shows: the sums, the tiers, what it rests on; and the alternatives that were tried. Pure."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from stepdown.money import dollars, share
from stepdown.replay.compare import Comparison, Sums, TierLine
from stepdown.replay.suggest import MINIMUM, MOST_FAILURES, Suggestion, Tried
from stepdown.report.tables import Column, table

ASSUMPTIONS: Final = (
    "A unit uses the tokens it used. On another model they are scaled by what both have used for units of its type, if known.",
    "Another model costs list price for ordinary context lengths, as the catalogue or the given price list has it.",
    "Where a tier was tried, it ends as it did. A stronger one does what a weaker did, a weaker fails where a stronger failed.",
    "Elsewhere a first attempt fails as often as such units were seen to, else as policy.py expects, and steps up as in a run.",
    "Each decision knows only what was known when its unit began: evidence, ratings, use, models that were rejected.",
    "Budgets are filled by what is simulated. What a subscription's own meter said at the time is not known.",
    "A hook's own model, and a pattern for which routing stood down, stay as they were.",
    "Plans' texts are not recorded, only their signals: thresholds of reading plans change nothing here.",
)
"""What a replay takes for granted, a sentence or two each."""


_NEARLY: Final = 0.005
"""A self-check that is off by less, as a share, is not worth a word."""


def render_comparison(
    shown: Comparison, *, heading: str, check: tuple[float, float] | None, width: int = 100, color: bool = False
) -> list[str]:
    """The lines of a simulation.

    Args:
        shown: the runs as recorded, and as simulated.
        heading: the first line: whose runs, under which changes.
        check: the present preferences replayed, and what was recorded of the same runs, in US dollars; None where no run's
            cost is known.
        width: cells of the terminal.
        color: whether to use colour.
    """
    lines = [*textwrap.wrap(heading, width), "", *_money(shown, width, color=color)]
    lines += ["", *_tiers(shown.tiers, width, color=color), "", *_failures(shown, width, color=color), ""]
    for note in _notes(shown, check):
        lines += textwrap.wrap(note, width, subsequent_indent="  ")
    lines += ["", "What this takes for granted:"]
    for assumption in ASSUMPTIONS:
        lines += textwrap.wrap(assumption, width, initial_indent="  - ", subsequent_indent="    ")
    return lines


def difference(compared: Sums) -> str:
    """``-$9.10 (29 % less), 95 % range -$11.00 to -$7.20``."""
    if not compared.runs or compared.difference_usd == compared.low_usd == compared.high_usd == 0:
        return "none"
    percent = share(abs(compared.difference_usd), compared.then_usd)
    word = "less" if compared.difference_usd < 0 else "more"
    part = f" ({percent} {word})" if percent else ""
    return f"{_signed(compared.difference_usd)}{part}, 95 % range {_signed(compared.low_usd)} to {_signed(compared.high_usd)}"


def render_suggestion(shown: Suggestion, *, width: int = 100, color: bool = False) -> list[str]:
    """The alternatives that were tried, as a table, and what is proposed; the preferences to paste are the caller's."""
    rows = [_tried(one) for one in shown.tried if one.moved]
    same: dict[str, list[str]] = {}
    for key, value in (setting for one in shown.tried if not one.moved for setting in one.option.settings):
        same.setdefault(key, []).append(str(value))
    columns = [
        Column(title="alternative", shrinks=True),
        Column(title="saves", right=True, style="bold"),
        Column(title="95 % range", right=True),
        Column(title="other course", right=True),
        Column(title="guessed", right=True, style="dim"),
        Column(title="failures", right=True),
        Column(title="proposed", shrinks=True, style="dim"),
    ]
    base = ", and the others with it switched on" if shown.switched_on else ""
    lines = [f"Tried on the newest {shown.runs:,} runs, each against the present preferences replayed{base}:", ""]
    lines += table(columns, rows, width=width, color=color) if rows else ["No alternative would have changed anything."]
    if same:
        listed = "; ".join(
            f"{key}: {', '.join(sorted(values, key=lambda value: (len(value), value)))}" for key, values in same.items()
        )
        lines += ["", *textwrap.wrap(f"Would have changed nothing: {listed}", width, subsequent_indent="  ")]
    lines.append("")
    said = (
        f"'other course': runs that would have gone otherwise. 'guessed': those whose outcome there is not in the record. "
        f"'failures': failed for good or unnoticed, expected on top. Proposed is what rests on {MINIMUM} runs or more, saves "
        f"over the whole range, and lets at most {MOST_FAILURES:.0%} more of all runs fail."
    )
    return lines + textwrap.wrap(said, width)


def best_sentence(best: Tried) -> str:
    """What the proposal would have saved, in one sentence."""
    low, high = -best.sums.high_usd, -best.sums.low_usd
    guessed = f", {best.guessed:,} with an end that is not in the record" if best.guessed else ""
    return (
        f"This would have saved {dollars(-best.sums.difference_usd, estimated=True)} of {dollars(best.sums.then_usd)} "
        f"(95 % range {dollars(low)} to {dollars(high)}): {best.moved:,} runs would have gone otherwise{guessed}."
    )


def _money(shown: Comparison, width: int, *, color: bool) -> list[str]:
    rows: list[list[str]] = []
    if shown.recorded.runs or not shown.listed.runs:
        known = shown.recorded
        rows += [
            ["Spent, as recorded", dollars(known.then_usd), f"{_runs(known.runs)}"],
            ["As simulated", dollars(known.now_usd, estimated=True), "estimated"],
            ["Difference", _signed(known.difference_usd), _range(known)],
        ]
    if shown.listed.runs:
        listed = shown.listed
        rows += [
            ["At list prices, as it ran", dollars(listed.then_usd, estimated=True), f"{_runs(listed.runs)} without a cost"],
            ["As simulated", dollars(listed.now_usd, estimated=True), "estimated"],
            ["Difference", _signed(listed.difference_usd), _range(listed)],
        ]
    columns = [Column(), Column(right=True, style="bold"), Column(shrinks=True, style="dim")]
    return table(columns, rows, width=width, color=color)


def _tiers(tiers: Sequence[TierLine], width: int, *, color: bool) -> list[str]:
    rows = [[line.tier, str(line.then), str(line.now), _models(line)] for line in tiers]
    columns = [
        Column(title="started on"),
        Column(title="then", right=True),
        Column(title="now", right=True, style="bold"),
        Column(title="models then -> now", shrinks=True, style="dim"),
    ]
    return table(columns, rows, width=width, color=color)


def _models(line: TierLine) -> str:
    then, now = _few(line.then_models), _few(line.now_models)
    return then if then == now else f"{then or 'none'} -> {now or 'none'}"


def _few(models: Sequence[str]) -> str:
    named = ", ".join(model.partition("/")[2] or model for model in models[:2])
    return f"{named}, {len(models) - 2} more" if len(models) > 2 else named


def _failures(shown: Comparison, width: int, *, color: bool) -> list[str]:
    rows = [
        ["stepped up", str(shown.escalations_then), f"~{shown.escalations_now:.1f}"],
        ["failed for good", str(shown.failed_then), f"~{shown.failed_now:.1f}"],
        ["failed, and nothing noticed", "unknown", f"~{shown.missed_now:.1f}"],
    ]
    columns = [Column(title="runs that"), Column(title="then", right=True), Column(title="now", right=True, style="bold")]
    return table(columns, rows, width=width, color=color)


def _notes(shown: Comparison, check: tuple[float, float] | None) -> Iterator[str]:
    if check is not None:
        off = abs(check[0] - check[1]) > _NEARLY * max(check)
        why = " They differ where your preferences were others then, or a unit went on after a stop." if off else ""
        yield f"Self-check: the same preferences replayed: {dollars(check[0])} against {dollars(check[1])} recorded.{why}"
    if shown.moved:
        guessed = f"; how {shown.guessed:,} would have ended there is not in the record" if shown.guessed else ""
        yield f"{_runs(shown.moved)} would have started on another model{guessed}."
    if shown.unknown or shown.running:
        parts = [f"{shown.unknown:,} since a price or what they used is unknown"] if shown.unknown else []
        parts += [f"{shown.running:,} that have not ended"] if shown.running else []
        yield f"Not compared: {' and '.join(parts)}. They are in no sum."
    if shown.without_signals:
        yield f"{_runs(shown.without_signals)} without recorded signals: taken to be as hard as they were taken to be then."
    if shown.unverified:
        yield f"{_runs(shown.unverified)} ended unverified: taken for successes."
    if shown.stood_down:
        yield f"{_runs(shown.stood_down)} for which routing stood down: it does so again."
    if shown.refused:
        yield f"{_runs(shown.refused)} would have met a full budget: counted as if you had let them go on."


def _tried(one: Tried) -> list[str]:
    known = one.sums
    return [
        str(one.option),
        dollars(-known.difference_usd, estimated=True),
        f"{dollars(-known.high_usd)} to {dollars(-known.low_usd)}",
        f"{one.moved:,}",
        f"{one.guessed:,}",
        f"{one.failures:+.1f}",
        one.against or "yes",
    ]


def _range(compared: Sums) -> str:
    text = difference(compared)
    return text if text == "none" else text.partition(" ")[2] if "(" in text else text.partition(", ")[2]


def _signed(amount: float) -> str:
    return dollars(amount) if amount <= 0 else f"+{dollars(amount)}"


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"
