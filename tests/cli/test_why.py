"""A unit's story, from made records and from a run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stepdown.decision import Candidate, Classification, Decision
from stepdown.ledger import Attempt, Ledger, Outcome, Rating, Use, open_ledger
from stepdown.units import Phase, Tier, Tokens

Said = subprocess.CompletedProcess[str]
UNIT = "M001/S01/T01"
DECISION = Decision(
    unit_type="execute-task",
    unit_id=UNIT,
    phase=Phase.EXECUTION,
    tier=Tier.LIGHT,
    classification=Classification(
        tier=Tier.LIGHT,
        reason="documentation, 1 file",
        signals={"files": 1, "tags": ("docs",), "only_documents": True, "from": {"files": "file lists"}},
        confidence=0.7,
        tag="docs",
    ),
    model="claude-haiku-4-5",
    provider="anthropic",
    ceiling="claude-sonnet-4-6",
    ceiling_provider="anthropic",
    ceiling_tier=Tier.STANDARD,
    ceiling_origin="models.default",
    downgraded=True,
    reason="documentation, 1 file",
    steps=("documentation, 1 file", "the budget is half used"),
    expected_cost=0.25,
    expected_total=0.5,
    ceiling_cost=1.0,
    candidates=tuple(
        Candidate(model=f"other/m{n}", tier=Tier.LIGHT, expected_cost=n / 2, expected_total=None, taken=n == 7, why=f"why {n}")
        for n in range(8)
    ),
)
UP = msgspec.structs.replace(
    DECISION, tier=Tier.STANDARD, model="claude-sonnet-4-6", downgraded=False, steps=("documentation, 1 file", "stepped up")
)


def attempt(project: Path, decision: Decision, *, number: int) -> Attempt:
    return Attempt(
        project=str(project),
        unit_type="execute-task",
        unit_id=UNIT,
        title="Say hello",
        tier=decision.tier,
        model=decision.ref,
        ceiling="anthropic/claude-sonnet-4-6",
        downgraded=decision.downgraded,
        reason=decision.reason,
        decision=msgspec.json.encode(decision).decode(),
        agent="practice",
        started=1_770_000_000.0 + 60 * number,
        run="r1",
        number=number,
        cause="first" if number == 1 else "step up",
    )


def outcome(cost: float, *, failure: str | None = None) -> Outcome:
    return Outcome(
        failure=failure,
        message="pytest failed" if failure else "",
        evidence=(f"{failure}: pytest failed", "failed: pytest (1.2 s)") if failure else ("passed: pytest (1.1 s)",),
        kept="refs/stepdown/failed/k1" if failure else "",
        verified=failure is None,
        tokens=Tokens(input=1_000, output=200, cache_read=3_000),
        cost_usd=cost,
        cost_source="reported",
        ceiling_cost_usd=1.0,
        requests=3,
        finished=1_770_000_100.0 + (60 if failure is None else 0),
    )


@pytest.fixture
def ledger(ledger_file: Path) -> Ledger:
    return open_ledger(f"sqlite:{ledger_file}")


def told(said: Said) -> str:
    assert (said.returncode, said.stderr) == (0, ""), said
    return said.stdout


def stepped_up(ledger: Ledger, project: Path) -> None:
    ledger.settle(ledger.begin(attempt(project, DECISION, number=1)), outcome(0.25, failure="quality"))
    ledger.settle(ledger.begin(attempt(project, UP, number=2)), outcome(1.0))
    ledger.rate(
        Rating(
            project=str(project),
            unit_type="execute-task",
            unit_id=UNIT,
            word="under",
            tier=Tier.STANDARD,
            pattern="execute-task:docs",
            at=1_770_000_300.0,
        )
    )


STORY = """\
execute-task M001/S01/T01: Say hello
  plan      pending
  taken for light (confidence 0.7): documentation, 1 file
  signals   files 1, tags docs, only documents True
  decided   claude-haiku-4-5, below claude-sonnet-4-6 (models.default; ~$1.00 expected)
            the budget is half used
  expected  ~$0.25, ~$0.50 with what failing and stepping up would cost
  considered
   > other/m7                                  ~$3.50  why 7
     other/m0                                  ~$0.00  why 0
     other/m1                                  ~$0.50  why 1
     other/m2                                  ~$1.00  why 2
     other/m3                                  ~$1.50  why 3
            and 3 more (--json lists them)
  1   [L] anthropic/claude-haiku-4-5 by practice, first, 2 Feb 2026 02:41:00 UTC
      FAILED (quality): pytest failed
      40.0 s, 3 requests, 4.2k tokens (3.0k from the cache), $0.25 reported, at the ceiling ~$1.00
      - failed: pytest (1.2 s)
      its work is kept: git diff refs/stepdown/failed/k1^ refs/stepdown/failed/k1
  2   [S] anthropic/claude-sonnet-4-6 by practice, step up, 2 Feb 2026 02:42:00 UTC
      because stepped up
      done, verified
      40.0 s, 3 requests, 4.2k tokens (3.0k from the cache), $1.00 reported
      - passed: pytest (1.1 s)
  rated     under, 2 Feb 2026 02:45:00 UTC
  cost      $1.25 for 2 attempts, ~$0.25 of it lost to failed attempts; the ceiling ~$1.00: cost ~$0.25 more (estimated)
"""


def test_the_whole_story(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    stepped_up(ledger, small)
    assert told(call("why", UNIT, "--project", small)) == STORY
    assert told(call("why", "execute-task", UNIT, "--project", small / ".gsd")) == STORY


def test_the_whole_story_as_json(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    stepped_up(ledger, small)
    story: Any = json.loads(told(call("why", UNIT, "--project", small, "--json")))
    assert (story["planned"], story["rating"]["word"]) == ({"done": False, "waits": []}, "under")
    first, second = story["attempts"]
    assert (first["number"], first["cause"], second["cause"], second["tier"]) == (1, "first", "step up", "standard")
    assert first["outcome"]["evidence"] == ["quality: pytest failed", "failed: pytest (1.2 s)"]
    assert len(first["decision"]["candidates"]) == 8
    assert first["decision"]["signals"]["from"] == {"files": "file lists"}
    assert (story["spent_usd"], story["ceiling_usd"], story["savings"]["net_usd"]) == (1.25, 1.0, -0.25)
    assert (story["savings"]["failed_usd"], story["savings"]["rescued"]) == (0.25, 1)


def test_another_run_that_decides_the_same_is_not_told_twice(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    for run in ("r1", "r2"):
        again = msgspec.structs.replace(attempt(small, DECISION, number=1), run=run)
        ledger.settle(ledger.begin(again), outcome(0.25, failure="quality"))
    said = told(call("why", UNIT, "--project", small))
    assert (said.count("taken for"), said.count("FAILED (quality)")) == (1, 2)


@pytest.mark.parametrize("receipt", ["", "{", "[]", '{"unit_type": 7}', '{"model": "from an older version"}'])
def test_a_receipt_that_cannot_be_read(receipt: str, small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    odd = msgspec.structs.replace(attempt(small, DECISION, number=1), decision=receipt)
    ledger.settle(ledger.begin(odd), outcome(0.25))
    said = told(call("why", UNIT, "--project", small))
    assert "because   documentation, 1 file" in said
    assert ("its receipt cannot be read" in said) is bool(receipt)
    assert json.loads(told(call("why", UNIT, "--project", small, "--json")))["attempts"][0]["decision"] is None


def test_an_attempt_without_an_end(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    running = ledger.begin(msgspec.structs.replace(attempt(small, DECISION, number=1), reserved_usd=0.5))
    ledger.note_use(running, Use(tokens=Tokens(input=1_500), requests=2, cost_usd=0.125))
    said = told(call("why", UNIT, "--project", small))
    assert "has not ended: it runs, or its process died; 2 requests, 1.5k tokens, $0.12 so far, $0.50 reserved" in said
    assert "cost      unknown for 1 attempt" in said


def test_a_unit_that_was_imported_tells_what_is_known(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    past = Attempt(project="", unit_type="plan-slice", unit_id="M000/S01", model="m", started=1_770_000_000.0)
    ledger.import_records(str(small), "gsd", [(past, Outcome(cost_usd=0.5, cost_source="reported", finished=1_770_000_060.0))])
    assert (
        told(call("why", "M000/S01", "--project", small))
        == """\
plan-slice M000/S01
  plan      does not list it now
  because   not recorded (gsd)
  1   m, imported from gsd, 2 Feb 2026 02:40:00 UTC
      done, unverified
      60.0 s, $0.50 reported
  cost      $0.50 for 1 attempt
"""
    )


def test_what_the_ledger_holds_cannot_drive_the_terminal(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    odd = msgspec.structs.replace(attempt(small, DECISION, number=1), title="\x1b[2J", unit_type="odd")
    ended = msgspec.structs.replace(outcome(0.25, failure="quality"), message="\x1b]0;x\x07", evidence=("\x1b[31m",))
    ledger.settle(ledger.begin(odd), ended)
    for more in ([], ["--json"]):
        assert "\x1b" not in told(call("why", UNIT, "--project", small, *more))


def test_what_there_is_no_story_of(small: Path, ledger_file: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    assert "nothing of" in refused(2, "why", UNIT, "--project", small)
    assert not ledger_file.exists()
    assert "Missing argument 'UNIT" in refused(2, "why", "--project", small)
    assert "there is no such directory" in refused(3, "why", UNIT, "--project", tmp_path / "gone")


def test_the_story_of_a_real_run(example: Path, call: Callable[..., Said], ledger_file: Path) -> None:
    assert call("run", example, "--agent", "practice", "--max-units", "2").returncode == 0
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        last = ledger.records(limit=1)[0].attempt
    said = told(call("why", last.unit_type, last.unit_id, "--project", example))
    assert said.startswith(f"{last.unit_type} {last.unit_id}: ")
    assert "  plan      done\n" in said
    assert f"] {last.model} by practice, first, " in said
    assert " for 1 attempt" in said
    assert len(said.splitlines()) <= 24
