"""The bill: of a project that has no plan, and as a page."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ledgers import everything

from stepdown.ledger import Attempt, Outcome, open_ledger
from stepdown.units import Tier, Tokens

Said = subprocess.CompletedProcess[str]


def test_a_project_without_a_plan_has_a_bill(tmp_path: Path, ledger_file: Path, call: Callable[..., Said]) -> None:
    project = tmp_path / "plain"
    project.mkdir()
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        attempt = Attempt(
            project=str(project), unit_type="conversation", unit_id="c1", tier=Tier.HEAVY, model="anthropic/m", started=1e9
        )
        ledger.settle(ledger.begin(attempt), Outcome(tokens=Tokens(input=10), cost_usd=0.5, finished=1e9 + 1))
    said = call("report", project, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout)["total"]["spent"]["usd"] == 0.5


def test_a_project_that_nobody_knows_has_none(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "has no .gsd directory" in refused(3, "report", tmp_path)


@pytest.fixture
def recorded(small: Path, ledger_file: Path) -> Path:
    """A project with a past."""
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        everything(ledger, project=str(small), days=5)
    return small


def test_a_page_is_written_beside_what_is_printed(recorded: Path, call: Callable[..., Said], tmp_path: Path) -> None:
    plain, page = call("report", recorded), tmp_path / "page.html"
    said = call("report", recorded, "--html", page)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == f"{plain.stdout}\nThe page is in {page}\n"
    text = page.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    spent = json.loads(call("report", recorded, "--json").stdout)["total"]["spent"]["usd"]
    assert f'id="spent"><span class="n" data-value="{spent}">' in text
    assert "What was learned" in text


def test_json_is_json_beside_a_page_as_well(recorded: Path, call: Callable[..., Said], tmp_path: Path) -> None:
    said = call("report", recorded, "--html", tmp_path / "page.html", "--json")
    assert said.stdout == call("report", recorded, "--json").stdout
    assert (tmp_path / "page.html").exists()


def test_a_page_without_a_name_has_one(recorded: Path, call: Callable[..., Said]) -> None:
    said = call("report", recorded, "--html")
    assert said.stdout.endswith("The page is in stepdown-report.html\n")
    assert Path("stepdown-report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    Path("stepdown-report.html").unlink()
    assert "What all projects cost" not in call("report", "--everything", "--html").stdout
    assert "What all projects cost" in Path("stepdown-report.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_is_said_in_a_line(recorded: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    assert "No such file or directory" in refused(2, "report", recorded, "--html", tmp_path / "nowhere" / "page.html")
    assert "that is a directory; name a file" in refused(2, "report", "--html", recorded)


def test_a_project_without_a_past_has_a_page_that_says_what_to_do(small: Path, call: Callable[..., Said]) -> None:
    said = call("report", small, "--html", "page.html")
    assert (said.returncode, said.stderr) == (0, "")
    assert "Nothing is recorded of project yet" in Path("page.html").read_text("utf-8")
    assert call("report", "--everything", "--html", "all.html").returncode == 0
    assert "Nothing is recorded of all projects yet" in Path("all.html").read_text("utf-8")


def test_without_a_page_nothing_that_draws_one_is_loaded(recorded: Path) -> None:
    tracing = f"import sys; sys.argv = ['stepdown', 'report', {str(recorded)!r}]; from stepdown.cli import main; main()"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", tracing], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert re.search(r"stepdown\.report\.spending\b", done.stderr)
    assert not re.search(r"jinja2|ledger_page|outlook", done.stderr)
