"""A plan carried out from end to end through the command line, and what the ledger, the report and the status say of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stepdown.ledger import Record, open_ledger

Said = subprocess.CompletedProcess[str]
Write = Callable[[Mapping[str, str | bytes]], Path]

USAGE = """
import json, pathlib, sys
assert pathlib.Path(sys.argv[2]).read_text()
print("thinking")
print(json.dumps({"usage": {"input_tokens": 1000, "output_tokens": 100}, "model": sys.argv[1]}))
"""


def answer(said: Said) -> Any:
    assert (said.returncode, said.stderr) == (0, "")
    return json.loads(said.stdout)


def pending(call: Callable[..., Said], project: Path) -> list[str]:
    return [f"{unit['type']} {unit['id']}" for unit in answer(call("plan", project, "--json")) if not unit["waits"]]


def records(file: Path) -> list[Record]:
    """What is in the ledger, the oldest first."""
    with open_ledger(f"sqlite:{file}") as ledger:
        return list(ledger.records())[::-1]


def test_the_example_from_plan_to_report(example: Path, call: Callable[..., Said], ledger_file: Path) -> None:
    first = pending(call, example)
    said = call("run", example, "--agent", "practice", "--max-units", "5")
    assert (said.returncode, said.stderr) == (0, "")
    assert "5 units done" in said.stdout

    done = records(ledger_file)
    names = [f"{one.attempt.unit_type} {one.attempt.unit_id}" for one in done]
    assert [name for name in names if not name.startswith("hook/")] == first[:5]
    assert "hook/review M002/S01" in names
    ended = [one.outcome for one in done if one.outcome is not None]
    assert [(outcome.failure, outcome.cost_source) for outcome in ended] == [(None, "priced")] * 6

    # The boxes are ticked: what was done is no longer pending, and the rest goes on where it stopped.
    assert not set(first[:5]) & set(pending(call, example))
    everything = answer(call("plan", example, "--all", "--json"))
    assert set(first[:5]) <= {f"{unit['type']} {unit['id']}" for unit in everything if unit["done"]}
    ticked = [one.attempt.unit_id for one in done if one.attempt.unit_type == "execute-task"]
    assert ticked
    for unit_id in ticked:
        milestone, slice_, task = unit_id.split("/")
        plan = example / f".gsd/milestones/{milestone}/slices/{slice_}/{slice_}-PLAN.md"
        assert f"- [x] **{task}:" in plan.read_text()

    # Every screen adds up to the same.
    spent = sum(outcome.cost_usd or 0 for outcome in ended)
    ceiling = sum(outcome.ceiling_cost_usd or 0 for outcome in ended)
    tokens = sum(outcome.tokens.total for outcome in ended if outcome.tokens)
    report = answer(call("report", example, "--json"))
    assert report["total"]["attempts"] == 6
    assert report["total"]["spent"]["usd"] == pytest.approx(spent)
    assert report["counterfactual"]["usd"] == pytest.approx(ceiling)
    for lines in ("tiers", "types", "models"):
        assert sum(line["spent"]["usd"] for line in report[lines]) == pytest.approx(spent)
        assert sum(sum(line["tokens"].values()) for line in report[lines]) == tokens
    status = answer(call("status", example, "--json"))
    assert status["spent"]["all"]["usd"] == pytest.approx(spent)
    assert status["spent"]["all"]["tokens"] == tokens
    assert [unit["id"] for unit in status["last"]] == [one.attempt.unit_id for one in done[::-1]][:5]
    assert status["running"] == []

    said = call("run", example, "--agent", "practice", "--max-units", "1")
    assert said.returncode == 0
    last = records(ledger_file)[-1].attempt
    assert f"{last.unit_type} {last.unit_id}" not in first[:5]
    assert len(records(ledger_file)) == 7


def test_one_unit_alone(small: Path, call: Callable[..., Said], refused: Callable[..., str], ledger_file: Path) -> None:
    assert "no pending unit is called 'M001/S01/T09'" in refused(
        3, "run", small, "--agent", "practice", "--only", "M001/S01/T09"
    )
    assert "no pending unit is called" in refused(3, "run", small, "--agent", "practice", "--only", "T09", "--dry-run")
    assert not ledger_file.exists()
    said = call("run", small, "--agent", "practice", "--only", "M001/S01/T02")
    assert said.returncode == 0
    assert [one.attempt.unit_id for one in records(ledger_file)] == ["M001/S01/T02"]
    assert pending(call, small) == ["execute-task M001/S01/T01"]
    assert "no pending unit" in refused(3, "run", small, "--agent", "practice", "--only", "execute-task M001/S01/T02")


def test_a_plan_that_is_done_says_so(small: Path, call: Callable[..., Said], write: Write) -> None:
    write({".gsd/milestones/M001/M001-SUMMARY.md": "# Done\n", ".gsd/milestones/M001/slices/S01/S01-SUMMARY.md": "# Done\n"})
    for name in ("M001-ROADMAP.md", "slices/S01/S01-PLAN.md"):
        path = small / ".gsd/milestones/M001" / name
        path.write_text(path.read_text().replace("[ ]", "[x]"))
    assert "Nothing is pending." in call("run", small, "--agent", "practice").stdout
    assert "units are done; --all lists them" in call("plan", small).stdout
    assert answer(call("plan", small, "--json")) == []


def test_a_dry_run_starts_and_writes_nothing(example: Path, home: Path, call: Callable[..., Said]) -> None:
    before = {path: path.read_bytes() for path in example.rglob("*") if path.is_file()}
    said = call("run", example, "--agent", "practice", "--dry-run", "--max-units", "3")
    assert (said.returncode, said.stderr) == (0, "")
    assert "3 units would run; nothing was started." in said.stdout
    assert {path: path.read_bytes() for path in example.rglob("*") if path.is_file()} == before
    assert not list(home.iterdir())


def test_an_agent_of_ones_own(small: Path, write: Write, call: Callable[..., Said], ledger_file: Path) -> None:
    command = [sys.executable, "-c", USAGE, "{model}", "{prompt_file}"]
    write({"stepdown.yaml": msgspec.json.encode({"agents": {"command": {"command": command}}})})
    said = call("run", small, "--agent", "command", "--max-units", "2", "--steps")
    assert (said.returncode, said.stderr) == (0, "")
    assert "thinking" in said.stdout
    one, two = (one.outcome for one in records(ledger_file))
    assert one is not None
    assert two is not None
    assert one.tokens is not None
    assert one.cost_usd is not None
    assert (one.tokens.input, one.tokens.output, one.cost_source) == (1000, 100, "priced")
    assert one.cost_usd == pytest.approx(1000 * 3e-6 + 100 * 15e-6)  # claude-sonnet-4-6: 3 and 15 USD per million
    assert f"{2 * one.cost_usd:.3f}" in said.stdout


def test_a_budget_that_is_used_up_starts_nothing(
    small: Path, write: Write, call: Callable[..., Said], ledger_file: Path
) -> None:
    preferences = (small / ".gsd/PREFERENCES.md").read_text()
    write({".gsd/PREFERENCES.md": preferences.replace("version: 1", "version: 1\nbudget_ceiling: 0")})
    said = call("run", small, "--agent", "practice")
    assert said.returncode == 6
    (line,) = said.stderr.splitlines()
    assert line.startswith("stepdown: execute-task M001/S01/T01 was not started: ")
    assert "budget_ceiling" in line
    assert records(ledger_file) == []


def test_the_past_is_read_once(small: Path, write: Write, call: Callable[..., Said], ledger_file: Path) -> None:
    unit = {
        "type": "execute-task",
        "model": "claude-sonnet-4-6",
        "startedAt": 1_750_000_000_000,
        "finishedAt": 1_750_000_060_000,
        "tokens": {"input": 1000, "output": 200, "cacheRead": 0, "cacheWrite": 0, "total": 1200},
    }
    units = [{**unit, "id": f"M001/S01/T{number:02}", "cost": number / 100} for number in range(1, 5)]
    write({".gsd/metrics.json": json.dumps({"version": 1, "units": units})})
    first = answer(call("report", small, "--json"))
    assert first["total"]["attempts"] == 4
    assert first["total"]["spent"]["usd"] == pytest.approx(0.10)
    assert answer(call("report", small, "--json")) == first
    assert call("run", small, "--agent", "practice", "--max-units", "1").returncode == 0
    assert len(records(ledger_file)) == 5
    write({".gsd/metrics.json": "{" * 1000})
    said = call("report", small, "--json")
    assert said.returncode == 0
    assert "metrics.json is not valid JSON" in said.stderr
    assert json.loads(said.stdout)["total"]["attempts"] == 5
