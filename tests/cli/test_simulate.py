"""`stepdown simulate` over real ledgers: what it shows, what it proposes, and one line where there is nothing to replay."""

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from history import OPUS, SONNET, USED, live, mixed, preferences

from stepdown.ledger import Attempt, Ledger, Outcome, open_ledger
from stepdown.signals import Signals
from stepdown.units import Tier

Said = subprocess.CompletedProcess[str]
Write = Callable[[Mapping[str, str | bytes]], Path]

PROGRAM = Path(sys.executable).with_name("stepdown")
YAML = """models: {default: claude-opus-4-6}
dynamic_routing:
  enabled: true
  learning: threshold
  tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}
"""


@pytest.fixture
def ledger(ledger_file: Path) -> Ledger:
    return open_ledger(f"sqlite:{ledger_file}")


@pytest.fixture
def project(write: Write) -> Path:
    return write({"stepdown.yaml": YAML})


def lived(ledger: Ledger, project: Path, count: int = 30) -> None:
    live(ledger, preferences(), mixed(count), lambda _, tier: "quality" if tier is Tier.LIGHT else None, project=str(project))


def test_the_same_preferences_cost_what_was_recorded(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    lived(ledger, project)
    said = call("simulate", project)
    assert (said.returncode, said.stderr) == (0, "")
    spent = sum(record.outcome.cost_usd or 0.0 for record in ledger.records() if record.outcome)
    assert f"Self-check: the same preferences replayed: ${spent:.2f} against ${spent:.2f} recorded.\n" in said.stdout
    first = said.stdout.splitlines()[0]
    assert first == "30 runs of project, 12 Jan 1970, replayed under the present preferences"
    assert "What this takes for granted:" in said.stdout


def test_another_policy_as_json(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    lived(ledger, project)
    said = call("simulate", project, "--off", "--json")
    document = json.loads(said.stdout)
    assert document["project"] == str(project)
    assert document["changes"] == ["enabled=false"]
    assert document["runs"] == document["recorded"]["runs"] == 30
    assert document["self_check"]["replayed_usd"] == pytest.approx(document["self_check"]["recorded_usd"])
    recorded = document["recorded"]
    assert recorded["difference_usd"] == pytest.approx(recorded["now_usd"] - recorded["then_usd"])
    assert recorded["low_usd"] <= recorded["difference_usd"] <= recorded["high_usd"]
    assert [line["now"] for line in document["tiers"]] == [0, 0, 30]
    assert document["escalations_now"] == 0
    assert document["assumptions"]


def test_files_prices_and_settings_go_together(
    project: Path, ledger: Ledger, call: Callable[..., Said], tmp_path: Path
) -> None:
    lived(ledger, project)
    other, prices = tmp_path / "other.yaml", tmp_path / "prices.yaml"
    other.write_text("models: {default: claude-sonnet-4-6}\n")
    prices.write_text("claude-sonnet-4-6: {price: {input: 0, output: 0, cache_read: 0, cache_write: 0}}\n")
    arguments = ("--preferences", other, "--prices", prices, "--set", "pin=claude-sonnet-4-6", "--json")
    document = json.loads(call("simulate", project, *arguments).stdout)
    assert document["changes"] == [str(other), str(prices), "pin=claude-sonnet-4-6"]
    assert document["recorded"]["now_usd"] == 0
    assert document["recorded"]["then_usd"] > 0
    assert [(line["tier"], line["now_models"]) for line in document["tiers"] if line["now"]] == [("standard", [SONNET])]


def test_since_and_all(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    lived(ledger, project, 10)
    live(ledger, preferences(), mixed(5), project="/projects/other", start=90_000_000.0)
    assert json.loads(call("simulate", project, "--json").stdout)["runs"] == 10
    assert json.loads(call("simulate", project, "--all", "--json").stdout)["runs"] == 15
    assert json.loads(call("simulate", project, "--all", "--since", "1971-06-01", "--json").stdout)["runs"] == 5
    assert json.loads(call("simulate", project, "--all", "--since", "5000w", "--json").stdout)["runs"] == 15


def test_suggest_proposes_preferences_that_can_be_pasted(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    work = [("execute-task", Signals(files=1, steps=3, tags=("docs",)))] * 30
    calm = msgspec.structs.replace(preferences(), policy=preferences().policy.with_overrides({"evidence_minimum": 1000}))
    live(ledger, calm, work, lambda _, tier: "quality" if tier is Tier.LIGHT else None, project=str(project))
    (project / "stepdown.yaml").write_text(YAML + "  thresholds: {evidence_minimum: 1000}\n")
    said = call("simulate", project, "--suggest")
    assert (said.returncode, said.stderr) == (0, "")
    head, _, paste = said.stdout.partition("put this into your preferences:\n\n")
    row = next(line for line in head.splitlines() if line.startswith("thresholds.light_steps: 2 "))
    assert row.endswith(" yes")
    (project / "pasted.yaml").write_text(paste)
    document = json.loads(call("simulate", project, "--suggest", "--json").stdout)
    assert document["preferences"] == paste
    # Preferences merge, they do not replace, where they are pasted: the settings of the proposal one by one.
    settings = [
        part for key, value in document["best"]["option"]["settings"] for part in ("--set", f"dynamic_routing.{key}={value}")
    ]
    replayed = json.loads(call("simulate", project, *settings, "--json").stdout)
    assert replayed["recorded"]["now_usd"] == pytest.approx(document["best"]["sums"]["now_usd"])
    assert replayed["recorded"]["now_usd"] < replayed["recorded"]["then_usd"]


def test_nothing_to_propose_says_so(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    lived(ledger, project, 5)
    said = call("simulate", project, "--suggest")
    assert said.stdout.rstrip().endswith("Nothing is proposed: no alternative meets all of that.")
    assert "rests on" in said.stdout
    assert json.loads(call("simulate", project, "--suggest", "--json").stdout)["preferences"] is None


class TestOneLine:
    def test_an_empty_ledger(self, project: Path, refused: Callable[..., str], ledger_file: Path) -> None:
        assert "nothing is in the ledger for" in refused(2, "simulate", project)
        assert "nothing is in the ledger: " in refused(2, "simulate", project, "--all", "--suggest")
        assert not ledger_file.exists()

    def test_a_ledger_without_tokens_or_costs(self, project: Path, ledger: Ledger, refused: Callable[..., str]) -> None:
        attempt = Attempt(project=str(project), unit_type="run-uat", unit_id="T", model=OPUS, started=1.0)
        ledger.settle(ledger.begin(attempt), Outcome(finished=2.0))
        said = refused(2, "simulate", project)
        assert "none of the 1 runs in the ledger has a known cost, or tokens on a model with a known price" in said

    def test_nothing_that_ended_and_nothing_since(self, project: Path, ledger: Ledger, refused: Callable[..., str]) -> None:
        attempt = Attempt(project=str(project), unit_type="run-uat", unit_id="T", model=OPUS, started=1.0)
        first = ledger.begin(attempt)
        assert "has ended yet" in refused(2, "simulate", project)
        ledger.settle(first, Outcome(tokens=USED, cost_usd=1.0, finished=2.0))
        assert "began since then; the last began on 1 Jan 1970" in refused(2, "simulate", project, "--since", "1d")

    @pytest.mark.parametrize("when", ["yesterday", "3", "2026-13-01", "-1d"])
    def test_a_time_that_is_none(self, project: Path, refused: Callable[..., str], when: str) -> None:
        assert "a date (2026-03-01) or a span (12h, 30d, 8w) is meant" in refused(2, "simulate", project, "--since", when)

    def test_keys_and_files_that_are_not_there(self, project: Path, refused: Callable[..., str]) -> None:
        assert "'foo' is not a key that stepdown knows" in refused(2, "simulate", project, "--set", "foo=1")
        assert "there is no such preferences file" in refused(2, "simulate", project, "--preferences", "nothing.yaml")
        assert "there is no such price list file" in refused(2, "simulate", project, "--prices", "nothing.yaml")
        assert "catalog.gpt-5-mini.price.input: must be US dollars" in refused(
            2, "simulate", project, "--set", "catalog.gpt-5-mini.price.input=-1"
        )

    def test_a_project_that_is_not_there(self, refused: Callable[..., str]) -> None:
        assert "there is no such directory" in refused(3, "simulate", "nowhere")


def test_a_model_that_nobody_knows_is_warned_about(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    lived(ledger, project, 3)
    said = call("simulate", project, "--set", "tier_models.light=gpt5-mini")
    assert said.returncode == 0
    assert "the catalogue knows no model 'gpt5-mini'" in said.stderr


def test_progress_is_shown_on_a_terminal_and_only_there(project: Path, ledger: Ledger) -> None:
    lived(ledger, project, 3)
    mine, theirs = pty.openpty()
    program = subprocess.run([PROGRAM, "simulate", str(project)], stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    seen = b""
    while select.select([mine], [], [], 0.2)[0]:
        try:
            seen += os.read(mine, 4096)
        except OSError:  # the other end is closed
            break
    os.close(mine)
    assert b"of 3 runs replayed" in seen
    assert seen.endswith(b"\r\x1b[K")
    assert b"\x1b" not in program.stdout


def test_damaged_decisions_do_not_stop_it(project: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    for number, decision in enumerate(("", "{", '{"classification": 3}')):
        attempt = Attempt(
            project=str(project),
            unit_type="odd\nunit",
            unit_id=f"T{number}",
            model=OPUS,
            decision=decision,
            started=1.0 + number,
        )
        ledger.settle(ledger.begin(attempt), Outcome(tokens=USED, cost_usd=1.0, finished=2.0 + number))
    document = json.loads(call("simulate", project, "--json").stdout)
    assert document["recorded"]["runs"] == 3


def test_a_practice_run_is_replayed_to_the_cent(small: Path, program: Callable[..., Said], ledger_file: Path) -> None:
    ran = program("run", small, "--agent", "practice", "--yes")
    assert ran.returncode == 0, ran.stderr
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        spent = sum(record.outcome.cost_usd or 0.0 for record in ledger.records() if record.outcome)
    document = json.loads(program("simulate", small, "--json").stdout)
    assert document["self_check"] == {"replayed_usd": pytest.approx(spent), "recorded_usd": pytest.approx(spent)}
    assert document["moved"] == 0
    dearer = json.loads(program("simulate", small, "--off", "--json").stdout)
    assert dearer["recorded"]["now_usd"] >= spent
