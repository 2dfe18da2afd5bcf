"""The bill of a project that has no plan: what passed the gateway, or what a plan left that is gone."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

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
