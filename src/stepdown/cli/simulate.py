"""``stepdown simulate``: the ledger's past under another policy, other models or other prices."""

import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from stepdown.agents import AGENTS, open_agent
from stepdown.catalog import Catalog, Model
from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.bulk import Progress, moment, uncollected
from stepdown.cli.screen import color, complain, print_json, width
from stepdown.errors import StepdownError, UsageError
from stepdown.ledger import Ledger, open_ledger
from stepdown.preferences import Preferences, load_preferences
from stepdown.preferences.changed import load_changed
from stepdown.replay.compare import Comparison, Way, compare, recorded_way, replay, sums
from stepdown.replay.course import Follower
from stepdown.replay.past import Past
from stepdown.replay.suggest import Suggestion, suggest
from stepdown.replay.world import World
from stepdown.report.simulation import ASSUMPTIONS, best_sentence, render_comparison, render_suggestion
from stepdown.routing import Router
from stepdown.units import Tier

_EVERYTHING: Final = 10**9
"""Events of evidence that are asked for: all there are."""


@click.command("simulate", short_help="What the past would have cost under another policy.")
@click.argument("path", type=TREE, default=".")
@click.option(
    "--preferences", "replacing", type=TREE, metavar="FILE", help="Preferences whose sections replace the present ones."
)
@click.option("--prices", type=TREE, metavar="FILE", help="Another price list: per model `price: {input, output, ...}`.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting: thresholds.heavy_steps=12. Repeatable."
)
@click.option("--enabled/--off", "enabled", default=None, help="As if routing were switched on, or off.")
@click.option("--since", metavar="WHEN", default="", help="Only runs that began since then: 2026-03-01, or 12h, 30d, 8w ago.")
@click.option("--all", "everything", is_flag=True, help="All projects of the ledger, under the preferences at PATH.")
@click.option("--suggest", "suggests", is_flag=True, help="Try a small grid of thresholds and propose what would have saved.")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(
    *,
    path: Path,
    replacing: Path | None,
    prices: Path | None,
    settings: tuple[str, ...],
    enabled: bool | None,
    since: str,
    everything: bool,
    suggests: bool,
    json_: bool,
) -> None:
    """Replay the recorded runs of the project at PATH under changed preferences: what they would have cost.

    Spends nothing and changes nothing. Every decision is made again with what was known when its unit began.
    """
    root = Path(project_at(path))
    start = moment(since, time.time())
    shipped = Catalog.load()
    switch = () if enabled is None else (f"dynamic_routing.enabled={str(enabled).lower()}",)
    present = load_preferences(root, catalog=shipped)
    other = load_changed(root, replacing=replacing, prices=prices, settings=(*switch, *settings), catalog=shipped)
    for warning in dict.fromkeys((*present.warnings, *other.warnings)):
        complain(warning)
    Catalog.load(other.catalog)  # what is wrong with a price is said before anything is read
    changes = _changes(replacing, prices, (*switch, *settings))
    with uncollected(), open_ledger(create=False) as ledger:
        scene = _Scene(ledger, None if everything else str(root), present, start)
        if suggests:
            _show_suggestion(scene, other, json_=json_)
        else:
            _show_comparison(scene, other, changes, chosen=enabled is not None, json_=json_)


def _show_comparison(scene: "_Scene", other: Preferences, changes: Sequence[str], *, chosen: bool, json_: bool) -> None:
    """Replay under `other`, and under the present preferences as a check; `chosen`: whether an option switched routing."""
    present = scene.present
    now = scene.replayed(other, "")
    same = now if other == present else scene.replayed(present, "the present preferences: ")
    compared = compare(scene.past, scene.then, now)
    check = _check(scene.then, same)
    if json_:
        print_json(_as_json(scene, changes, compared, check))
        return
    off = "" if other.dynamic_routing.enabled or chosen else " (routing is off; --enabled simulates it switched on)"
    heading = f"{scene.said} under {', '.join(changes) or 'the present preferences'}{off}"
    for line in render_comparison(compared, heading=heading, check=check, width=width() or 120, color=color()):
        click.echo(line)


class _Scene:
    """The past of a project, or of all, ready to be replayed."""

    def __init__(self, ledger: Ledger, project: str | None, present: Preferences, start: float) -> None:
        self.project = project
        self.present = present
        self.catalog = Catalog.load(present.catalog)
        self._progress = Progress()
        self._progress("reading the ledger")
        records = ledger.records(project)
        evidence = ledger.evidence(limit=_EVERYTHING, rating_weight=present.policy.rating_weight)
        self.past = Past(records, evidence, self._tier)
        self.world = World(self.past, ledger.expectations(), self.catalog, present.policy)
        self.reach = _reach({record.attempt.agent for record in records}, present)
        self.first = next((number for number, run in enumerate(self.past.runs) if run.started >= start), len(self.past.runs))
        if self.first == len(self.past.runs):
            self._progress("")
            raise UsageError(_nothing(self.past, len(records), project, since=start > 0))
        numbers = range(self.first, len(self.past.runs))
        self.then = [recorded_way(self.past.runs[number], number, self.world) for number in numbers]
        if all(way.usd is None for way in self.then):
            self._progress("")
            raise UsageError(
                f"none of the {len(self.then):,} runs in the ledger has a known cost, or tokens on a model with a known price: "
                "there is nothing to compare"
            )

    @property
    def said(self) -> str:
        """What is being replayed, for the heading."""
        name = "all projects" if self.project is None else Path(self.project).name
        first, last = self.past.runs[self.first].started, self.past.runs[-1].started
        period = _day(first) if _day(first) == _day(last) else f"{_day(first)} to {_day(last)}"
        return f"{len(self.then):,} run{'' if len(self.then) == 1 else 's'} of {name}, {period}, replayed"

    def replayed(self, preferences: Preferences, name: str) -> list[Way]:
        """How the runs would have gone under `preferences`, at the prices of their catalogue."""
        catalog = self.catalog if preferences.catalog == self.present.catalog else Catalog.load(preferences.catalog)
        follower = Follower(Router(preferences, catalog), self.world, self.present.dynamic_routing, self.reach)
        total = len(self.then)
        try:
            return replay(
                self.past,
                follower,
                since_run=self.first,
                progress=lambda done: self._progress(f"{name}{done:,} of {total:,} runs replayed"),
            )
        finally:
            self._progress("")

    def suggested(self, preferences: Preferences) -> Suggestion:
        """What other thresholds would have saved."""
        try:
            return suggest(
                self.past,
                preferences,
                Catalog.load(preferences.catalog),
                self.world,
                reach=self.reach,
                first=self.first,
                progress=lambda option: self._progress(f"trying {option}"),
            )
        finally:
            self._progress("")

    def _tier(self, ref: str) -> Tier | None:
        model: Model | None = self.catalog.find_ref(ref)
        return None if model is None else model.tier


def _show_suggestion(scene: _Scene, preferences: Preferences, *, json_: bool) -> None:
    import yaml  # noqa: PLC0415  (only where something is proposed)

    found = scene.suggested(preferences)
    paste = "" if found.best is None else yaml.safe_dump(found.best.option.as_preferences(), sort_keys=False)
    if json_:
        document: dict[str, Any] = msgspec.to_builtins(found)
        print_json({"project": scene.project, **document, "preferences": paste or None, "assumptions": ASSUMPTIONS})
        return
    for line in render_suggestion(found, width=width() or 120, color=color()):
        click.echo(line)
    click.echo("")
    if found.best is None:
        click.echo("Nothing is proposed: no alternative meets all of that.")
        return
    sentence = f"{best_sentence(found.best)} To have it, put this into your preferences:"
    click.echo(textwrap.fill(sentence, width() or 120) + "\n")
    click.echo(paste, nl=False)


def _check(then: Sequence[Way], same: Sequence[Way]) -> tuple[float, float] | None:
    """The present preferences replayed, and what was recorded of the same runs; None where nothing was recorded."""
    pairs = [(one, other) for one, other in zip(then, same, strict=True) if one.usd is not None and other.usd is not None]
    recorded = [(one, other) for one, other in pairs if one.recorded]
    total = sums(recorded or pairs)
    return (total.now_usd, total.then_usd) if total.runs else None


def _as_json(
    scene: _Scene, changes: Sequence[str], compared: Comparison, check: tuple[float, float] | None
) -> Mapping[str, object]:
    document: dict[str, Any] = msgspec.to_builtins(compared)
    for name, part in (("recorded", compared.recorded), ("listed", compared.listed)):
        document[name]["difference_usd"] = part.difference_usd
    found = None if check is None else {"replayed_usd": check[0], "recorded_usd": check[1]}
    return {"project": scene.project, "changes": changes, **document, "self_check": found, "assumptions": ASSUMPTIONS}


def _changes(replacing: Path | None, prices: Path | None, settings: Sequence[str]) -> list[str]:
    files = [str(file) for file in (replacing, prices) if file is not None]
    return [*files, *(setting.removeprefix("dynamic_routing.") for setting in settings)]


def _reach(agents: set[str], preferences: Preferences) -> dict[str, frozenset[str] | None]:
    """The providers that each agent can reach; one that cannot be opened now, or whose records were imported, reaches any."""
    reach: dict[str, frozenset[str] | None] = {}
    for name in agents & AGENTS.keys():
        try:
            reach[name] = open_agent(name, preferences).providers()
        except StepdownError:
            continue
    return reach


def _nothing(past: Past, attempts: int, project: str | None, *, since: bool) -> str:
    """Why there is nothing to replay."""
    whose = "the ledger" if project is None else f"the ledger for {project}"
    if past.runs and since:
        return f"no run in {whose} began since then; the last began on {_day(past.runs[-1].started)}"
    if attempts:
        return f"no run in {whose} has ended yet"
    return f"nothing is in {whose}: `stepdown run` makes records, `stepdown report` reads a project's past"


def _day(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y}"
