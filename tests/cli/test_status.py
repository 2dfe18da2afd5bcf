"""Where routing loses money: what `decide`, `status` and `report` say of it, from a ledger on disk."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepdown.catalog import Catalog
from stepdown.ledger import Attempt, Ledger, Outcome, open_ledger
from stepdown.units import Tier, Tokens

Said = subprocess.CompletedProcess[str]
PATTERN = "complete-slice"
LIGHT, CEILING = "anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-6"
START = 1_770_000_000.0


@pytest.fixture
def ledger(ledger_file: Path) -> Ledger:
    return open_ledger(str(ledger_file))


class Past:
    """Units of one pattern, one after the other."""

    def __init__(self, ledger: Ledger, project: Path) -> None:
        self._ledger = ledger
        self._project = str(project.resolve())
        self._number = 0

    def unit(self, *, cost: float | None, at_ceiling: float | None, rescue: float = 0.0, tokens: Tokens | None = None) -> None:
        """A unit that a light model did, or, with `rescue`, failed at, so that the ceiling had to do it."""
        self._number += 1
        failure = "quality" if rescue else None
        self._attempt(
            LIGHT, Outcome(failure=failure, cost_usd=cost, ceiling_cost_usd=at_ceiling, tokens=tokens, finished=START)
        )
        if rescue:
            self._attempt(CEILING, Outcome(cost_usd=rescue, ceiling_cost_usd=rescue, finished=START))

    def on_ceiling(self, tokens: Tokens | None = None) -> None:
        self._number += 1
        self._attempt(CEILING, Outcome(cost_usd=1.0, tokens=tokens, finished=START))

    def _attempt(self, model: str, outcome: Outcome) -> None:
        attempt = Attempt(
            project=self._project,
            unit_type=PATTERN,
            unit_id=f"M001/S{self._number:02}",
            tier=Tier.LIGHT,
            model=model,
            ceiling=CEILING,
            downgraded=model == LIGHT,
            pattern=PATTERN,
            started=START + self._number,
        )
        self._ledger.settle(self._ledger.begin(attempt), outcome)


@pytest.fixture
def past(ledger: Ledger, small: Path) -> Past:
    return Past(ledger, small)


@pytest.fixture
def decided(call: Callable[..., Said], small: Path) -> Callable[[], dict[str, Any]]:
    return lambda: json.loads(call("decide", PATTERN, "--project", small, "--json").stdout)


@pytest.fixture
def losses(call: Callable[..., Said], small: Path) -> Callable[[], list[dict[str, Any]]]:
    return lambda: json.loads(call("status", small, "--json").stdout)["stood_down"]


def test_a_losing_pattern_stands_down_says_so_and_comes_back(
    past: Past,
    small: Path,
    call: Callable[..., Said],
    decided: Callable[[], dict[str, Any]],
    losses: Callable[[], list[dict[str, Any]]],
) -> None:
    for _ in range(9):
        past.unit(cost=0.25, at_ceiling=1.0, rescue=1.0)
    assert decided()["downgraded"]
    assert losses() == []

    for _ in range(3):
        past.unit(cost=0.25, at_ceiling=1.0, rescue=1.0)
    reason = "routing lost $3.00 over the last 12 downgraded units of complete-slice (tries again after 41 more units)"
    decision = decided()
    assert (decision["model"], decision["downgraded"], decision["unchanged"]) == ("claude-sonnet-4-6", False, "stood down")
    assert reason in decision["reason"]
    assert f"stood down for complete-slice, which keeps its ceiling: {reason}" in call("status", small).stdout
    assert losses() == [
        {
            "pattern": PATTERN,
            "units": 12,
            "lost_usd": 3.0,
            "provenance": "estimated",
            "tries_again_after": 41,
            "reason": reason,
        }
    ]

    for _ in range(40):
        past.on_ceiling()
    assert [loss["tries_again_after"] for loss in losses()] == [1]
    assert decided()["unchanged"] == "stood down"
    past.on_ceiling()
    assert losses() == []
    assert decided()["downgraded"]


def test_what_is_forgotten_is_no_longer_held_against_the_pattern(
    past: Past, small: Path, losses: Callable[[], list[dict[str, Any]]], call: Callable[..., Said]
) -> None:
    for _ in range(12):
        past.unit(cost=0.25, at_ceiling=1.0, rescue=1.0)
    assert len(losses()) == 1
    said = call("reset", PATTERN, "--project", small).stdout
    assert said == f"Forgotten: what units of {PATTERN} cost, so that routing is tried again for them.\n"
    assert losses() == []


def test_another_projects_losses_are_its_own(
    ledger: Ledger, tmp_path: Path, decided: Callable[[], dict[str, Any]], losses: Callable[[], list[dict[str, Any]]]
) -> None:
    other = Past(ledger, tmp_path / "other")
    for _ in range(12):
        other.unit(cost=0.25, at_ceiling=1.0, rescue=1.0)
    assert losses() == []
    assert decided()["downgraded"]


def test_unknown_costs_are_no_losses(past: Past, losses: Callable[[], list[dict[str, Any]]]) -> None:
    for _ in range(12):
        past.unit(cost=None, at_ceiling=1.0)
        past.unit(cost=0.25, at_ceiling=None)
    assert losses() == []


def test_status_report_and_decide_count_alike(
    past: Past,
    small: Path,
    call: Callable[..., Said],
    decided: Callable[[], dict[str, Any]],
    losses: Callable[[], list[dict[str, Any]]],
) -> None:
    """A light model that rambles: dearer than what the ceiling is known to need, cheaper than the ceiling would ramble."""
    ceiling = Catalog.load().resolve(CEILING)
    assert ceiling is not None
    needed = Tokens(output=10_000)
    for _ in range(6):
        past.on_ceiling(needed)
    for number in range(12):
        past.unit(cost=0.25 + number / 64, at_ceiling=5.0, tokens=Tokens(output=100_000))
    [loss] = losses()
    saved = json.loads(call("report", small, "--json").stdout)["savings"]
    assert loss["lost_usd"] == pytest.approx(-saved["net_usd"])
    known = ceiling.cost(needed)
    assert known is not None
    assert loss["lost_usd"] == pytest.approx(sum(0.25 + number / 64 - known for number in range(12)))
    assert loss["reason"] in decided()["reason"]


def test_what_routing_saved_and_lost_is_said_per_pattern(past: Past, small: Path, call: Callable[..., Said]) -> None:
    for _ in range(3):
        past.unit(cost=0.25, at_ceiling=1.0)
    past.unit(cost=0.25, at_ceiling=1.0, rescue=1.0)
    (saved,) = json.loads(call("status", small, "--json").stdout)["saved"]
    assert (saved["pattern"], saved["units"], saved["provenance"]) == (PATTERN, 4, "estimated")
    assert saved["net_usd"] == pytest.approx(saved["cheaper_usd"] - saved["failed_usd"] - saved["cache_usd"])
    assert saved["failed_usd"] == pytest.approx(0.25)
    shown = call("status", small).stdout
    assert (
        "routing   saved ~$2.00 on complete-slice, 4 units below their ceiling ($2.25 by cheaper models, lost: $0.25" in shown
    )
