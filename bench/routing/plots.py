"""Cost against quality as pictures. matplotlib is a tool of development: only this module needs it, and only when it draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.routing.replay import Report, Score
from stepdown.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAVING_GOAL: Final = 0.35
POINTS_GOAL: Final = -0.02
"""What the default policy aims for with a verifier of 70 % recall and 10 % false alarms: averaged over the triples."""

_LOOKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "always-light": ("s", "#9aa0a6", "always light"),
    "always-standard": ("D", "#6b7280", "always standard"),
    "always-heavy": ("o", "#111827", "always heavy"),
    "random": ("x", "#9aa0a6", "random, default's shares"),
    "light+escalate": ("^", "#60a5fa", "light, then heavy"),
    "standard+escalate": ("v", "#2563eb", "standard, then heavy"),
    "static": ("P", "#f59e0b", "router without a past"),
    "threshold": ("<", "#a855f7", "router, threshold"),
    "expected_cost": (">", "#0d9488", "router, expected cost"),
    "default": ("o", "#dc2626", "router as shipped"),
    "oracle": ("*", "#eab308", "oracle"),
}
"""Marker, colour and name of each policy, drawn in this order."""

_OPEN: Final = 13.0
"""Size of the ring that the default is drawn as, around the point of the rule that it is."""


def cost_and_quality(reports: Sequence[Report], path: Path) -> None:
    """One triple under several verifiers, side by side.

    Args:
        reports: of one triple, one per verifier.
        path: the picture to write; its ending says what kind.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figure, panels = _canvas(len(reports))
    for panel, report in zip(panels, reports, strict=True):
        panel.text(1, POINTS_GOAL * 100 + 0.3, "the goal", fontsize=7, color="#15803d")
        panel.fill_between([0, (1 - SAVING_GOAL) * 100], POINTS_GOAL * 100, 100, color="#16a34a", alpha=0.07, linewidth=0)
        panel.axhline(0, color="#d1d5db", linewidth=0.8, zorder=0)
        always = [report.of(f"always-{tier}") for tier in ("light", "standard", "heavy")]
        panel.plot([_cost(one) for one in always], [one.difference * 100 for one in always], color="#d1d5db", zorder=1)
        for policy in _LOOKS:
            _point(panel, report.of(policy))
        panel.set_title(f"{report.verifier}", fontsize=10, loc="left")
        panel.set_xlabel("dollars per task, % of always heavy")
        panel.set_xlim(0, max(105.0, *(_cost(report.of(policy)) * 1.1 for policy in _LOOKS)))
        panel.set_ylim(*_height(reports))
    panels[0].set_ylabel("points of solved rate against always heavy")
    figure.suptitle(" → ".join(reports[0].field.models), x=0.01, ha="left", fontsize=11, fontweight="bold")
    _legend(figure, panels[0])
    _save(figure, path)


def curves(panels_of: Mapping[str, Mapping[str, Sequence[tuple[str, float, float]]]], path: Path, *, title: str) -> None:
    """Dollars saved against quality gained, a line per family of rules.

    Args:
        panels_of: per panel its name, per line its name, its points: (label, dollars saved, solved rate gained), as fractions.
        path: the picture to write.
        title: above it all.
    """
    figure, panels = _canvas(len(panels_of), width=6.4)
    colours = ("#dc2626", "#2563eb", "#0d9488", "#f59e0b", "#a855f7", "#6b7280")
    for panel, (name, found) in zip(panels, panels_of.items(), strict=True):
        for (line, points), colour in zip(found.items(), colours, strict=False):
            across, up = [saving * 100 for _, saving, _ in points], [difference * 100 for _, _, difference in points]
            panel.plot(across, up, marker="o", markersize=4, linewidth=1.3, color=colour, label=line)
            for (label, _, _), x, y in zip(points, across, up, strict=True):
                panel.annotate(label, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7, color=colour)
        panel.set_title(name, fontsize=10, loc="left")
        panel.axhline(0, color="#d1d5db", linewidth=0.8, zorder=0)
        panel.axvline(0, color="#d1d5db", linewidth=0.8, zorder=0)
        panel.set_xlabel("dollars saved, %")
    panels[0].set_ylabel("points of solved rate gained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    _legend(figure, panels[0])
    _save(figure, path)


def _height(reports: Sequence[Report]) -> tuple[float, float]:
    """What all points and their intervals need, in points of solved rate; the shaded goal goes on above it."""
    ends = [end * 100 for report in reports for policy in _LOOKS for end in report.of(policy).intervals["difference"] or ()]
    return min(ends) - 2, max(ends) + 2


def _cost(score: Score) -> float:
    return (1 - score.saving) * 100


def _point(panel: "Axes", score: Score) -> None:
    """A policy with its paired intervals."""
    marker, colour, name = _LOOKS[score.policy]
    x, y = _cost(score), score.difference * 100
    saving, difference = score.intervals["saving"], score.intervals["difference"]
    assert saving is not None
    assert difference is not None
    ring = score.policy == "default"
    panel.errorbar(
        x,
        y,
        xerr=[[max(0.0, saving[1] - score.saving) * 100], [max(0.0, score.saving - saving[0]) * 100]],
        yerr=[[max(0.0, score.difference - difference[0]) * 100], [max(0.0, difference[1] - score.difference) * 100]],
        fmt=marker,
        color=colour,
        ecolor=colour,
        elinewidth=0.0 if ring else 0.8,
        alpha=0.95,
        markersize=_OPEN if ring else 11 if marker == "*" else 7,
        markerfacecolor="none" if ring else colour,
        markeredgewidth=1.8 if ring or marker == "x" else 0.0,
        label=name,
        zorder=4 if ring else 3,
    )


def _canvas(panels: int, width: float = 4.3) -> "tuple[Figure, Sequence[Axes]]":
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it
    except ImportError as error:
        raise UsageError("plots need matplotlib, which is not installed; leave out --out, or install it") from error
    mpl.use("Agg")
    # The same numbers make the same file, so that a picture in the repository changes only when its numbers do.
    mpl.rcParams.update(
        {
            "svg.hashsalt": "stepdown",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#6b7280",
            "axes.labelcolor": "#374151",
            "xtick.color": "#374151",
            "ytick.color": "#374151",
        }
    )
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    figure = Figure(figsize=(width * panels + 0.4, 4.6), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)
    return figure, list(axes[0])


def _legend(figure: "Figure", panel: "Axes") -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=8)


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    figure.savefig(
        partial, format=path.suffix.removeprefix("."), metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150
    )
    partial.replace(path)
