"""What the live view knows at each moment of a run, and what it leaves behind."""

import re
from pathlib import Path

import pytest
from stage import Act, Actor, fails, make_plan, writes

from stepdown.agents.port import Event, Finished, Job, Step, Used
from stepdown.catalog import Catalog
from stepdown.cli.board import Board
from stepdown.cli.keys import RatingKeys
from stepdown.cli.live import LiveScreen
from stepdown.decision import Decision
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.forecast import Forecast
from stepdown.dispatch.loop import run_plan
from stepdown.dispatch.trial import Quiet, Several
from stepdown.ledger import Outcome
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.records import Use
from stepdown.preferences import ModelChoice, Preferences
from stepdown.preferences.schema import DynamicRouting, PostUnitHook, PreDispatchHook
from stepdown.routing import Router
from stepdown.units import Tier, Tokens, Unit

ROUTING = DynamicRouting(
    enabled=True, tier_models={Tier.LIGHT: ModelChoice("claude-haiku-4-5"), Tier.STANDARD: ModelChoice("claude-sonnet-4-6")}
)


class Camera(Quiet):
    """Keeps a board whenever something happens."""

    def __init__(self, screen: LiveScreen) -> None:
        self.screen = screen
        self.boards: dict[str, list[Board]] = {"starts": [], "step": [], "used": [], "ends": []}

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        self.boards["starts"].append(self.screen.board())

    def step(self, unit: Unit, step: Step) -> None:
        self.boards["step"].append(self.screen.board())

    def used(self, unit: Unit, use: Use) -> None:
        self.boards["used"].append(self.screen.board())

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        self.boards["ends"].append(self.screen.board())


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


async def run(tmp_path: Path, *parts: Act, steps: bool = False, **preferences: object) -> tuple[Camera, LiveScreen]:
    """Run the whole plan of `stage`."""
    plan, ledger = make_plan(tmp_path), MemoryLedger()
    chosen = {"models": {"default": ModelChoice("claude-opus-4-6")}, "dynamic_routing": ROUTING, **preferences}
    house = Dispatcher(Router(Preferences(**chosen), Catalog.load()), Actor(*parts), ledger, plan)  # type: ignore[arg-type]
    screen = LiveScreen(Forecast(house), RatingKeys(ledger, plan.project), steps=steps, now=Clock())
    camera = Camera(screen)
    screen._look()
    async for done in run_plan(house, max_units=2, watcher=Several(screen, camera)):
        screen.done(done)
    return camera, screen


def busy(job: Job) -> list[Event]:
    writes(**{"README_md" if job.unit.id.endswith("T01") else "hello_py": "hello"})(job)
    tool = Step("tool", name="Write", detail="README.md")
    return [Used(Tokens(input=1000, output=100)), tool, Step("result", name="Write", detail="denied", error=True), Finished()]


def states(board: Board) -> list[tuple[str, str]]:
    return [(row.name[-3:], row.state) for row in board.rows if row.name.startswith("execute")]


async def test_what_is_seen_while_units_run(tmp_path: Path) -> None:
    camera, screen = await run(tmp_path, busy)
    first, second = camera.boards["starts"]
    assert states(first) == [("T01", "running"), ("T02", "ahead")]
    assert states(second) == [("T01", "done"), ("T02", "running")]
    assert (first.seconds_to_go, first.saved, first.spent) == (None, None, 0.0)
    assert first.running is not None
    assert (first.running.tier, first.running.model, first.running.cause) == (Tier.LIGHT, "claude-haiku-4-5", "")
    (ahead,) = [row for row in first.rows if row.state == "ahead"]
    assert (ahead.tier, ahead.model, ahead.amount[:2]) == (Tier.LIGHT, "claude-haiku-4-5", "~$")

    called, answered = (board.running for board in camera.boards["step"][:2])
    assert called is not None
    assert answered is not None
    assert (answered.steps, answered.tokens, answered.checking) == (2, 1100, False)
    assert [step.error for step in answered.last] == [False, True]
    price = (1000 * 1 + 100 * 5) / 1e6  # claude-haiku-4-5: 1 and 5 USD per million
    assert answered.cost == camera.boards["step"][1].spent == pytest.approx(price)
    ended = camera.boards["used"][1].running
    assert ended is not None
    assert ended.checking

    assert second.seconds_to_go is not None
    assert second.cost_to_go is not None
    assert first.cost_to_go is not None
    assert second.cost_to_go < first.cost_to_go
    assert second.saved == pytest.approx(4 * price)  # claude-opus-4-6: five times the price
    last = screen.board()
    assert (last.running, last.cost_to_go, last.seconds_to_go) == (None, 0.0, 0.0)
    assert last.spent == pytest.approx(2 * price)


async def test_a_unit_that_steps_up_shows_what_it_runs_on_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera, _ = await run(tmp_path, fails("quality"), busy)
    again = camera.boards["starts"][1].running
    assert again is not None
    assert (again.tier, again.model, again.cause, again.steps, again.tokens) == (
        Tier.STANDARD,
        "claude-sonnet-4-6",
        "stepped up",
        0,
        0,
    )
    (row,) = [row for row in camera.boards["starts"][1].rows if row.state == "running"]
    assert (row.tier, row.model) == (Tier.STANDARD, "claude-sonnet-4-6")
    assert re.search(r"^ +\[S\] claude-sonnet-4-6  stepped up$", capsys.readouterr().out, re.MULTILINE)


async def test_a_unit_is_printed_when_it_has_ended_and_as_plain_lines_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(tmp_path, busy)
    lines = capsys.readouterr().out.splitlines()
    assert "  1  [L] claude-haiku-4-5  execute-task M001/S01/T01: Fix a typo" in lines
    assert "  2  [L] claude-haiku-4-5  execute-task M001/S01/T02: Greet" in lines
    assert sum(line.startswith("         done, ") for line in lines) == 2
    assert not [line for line in lines if "o over" in line]


async def test_steps_that_are_asked_for_follow_their_units_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await run(tmp_path, busy, steps=True)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    head = next(number for number, line in enumerate(lines) if "execute-task M001/S01/T01" in line)
    assert lines[head + 2 : head + 4] == ["· tool Write README.md", "! result Write denied"]


async def test_hooks_and_skipped_units_are_seen_for_what_they_are(tmp_path: Path) -> None:
    review = PostUnitHook(name="review", after=("execute-task",), prompt="Look.")
    camera, _ = await run(tmp_path, busy, post_unit_hooks=(review,))
    hook = camera.boards["starts"][1]
    assert hook.running is not None
    assert hook.running.name == "hook/review M001/S01/T01"
    assert states(hook) == [("T01", "done"), ("T02", "ahead")]


async def test_a_unit_that_a_hook_skips(tmp_path: Path) -> None:
    never = PreDispatchHook(name="never", before=("execute-task",), action="skip")
    _, screen = await run(tmp_path, busy, pre_dispatch_hooks=(never,))
    assert states(screen.board()) == [("T01", "skipped"), ("T02", "skipped")]


async def test_a_unit_that_fails(tmp_path: Path) -> None:
    _, screen = await run(tmp_path, fails("budget"))
    assert states(screen.board()) == [("T01", "failed"), ("T02", "ahead")]
