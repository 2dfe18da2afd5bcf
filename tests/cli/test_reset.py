"""Forgetting, by command and by preference, and what is left then."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stepdown.ledger import Evidence, Ledger, Rating, open_ledger
from stepdown.units import Tier

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Write = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def ledger(ledger_file: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:{ledger_file}") as opened:
        yield opened


def learn(ledger: Ledger, pattern: str, count: int, *, project: str = "/p", at: float = 1.0) -> None:
    ledger.add_evidence(
        [Evidence(at=at + number, pattern=pattern, tier=Tier.LIGHT, success=True, project=project) for number in range(count)]
    )


def counts(ledger: Ledger) -> dict[str, int]:
    return {name: len(events) for name, events in ledger.evidence().items()}


def test_one_pattern_is_forgotten_at_once(ledger: Ledger, call: Call) -> None:
    for name, count in {"execute-task": 1, "execute-task:docs": 2, "run-uat": 3}.items():
        learn(ledger, name, count)
    said = call("reset", "execute-task")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("Forgotten: 3 events of execute-task:docs (2), execute-task (1). The ledger keeps them")
    assert counts(ledger) == {"run-uat": 3}
    learn(ledger, "execute-task:docs", 1, at=4e9)  # what comes later counts
    assert counts(ledger) == {"run-uat": 3, "execute-task:docs": 1}


def test_everything_is_forgotten_only_with_a_word_for_it(ledger: Ledger, program: Call) -> None:
    for number in range(9):
        learn(ledger, f"execute-task:{number}", number + 1)
    said = program("reset")  # no terminal
    assert (said.returncode, said.stdout) == (2, "")
    (line,) = said.stderr.splitlines()
    assert line.startswith("stepdown: this would forget 45 events of execute-task:8 (9), ")
    assert line.endswith("and 3 more: without a terminal to ask on, say --yes, or name a PATTERN")
    assert sum(counts(ledger).values()) == 45
    assert program("reset", "--yes").returncode == 0
    assert counts(ledger) == {}
    said = program("reset", "--yes")
    assert (said.returncode, said.stdout) == (0, "Nothing is learned, so there is nothing to forget.\n")


def test_one_projects_part_is_forgotten(small: Path, ledger: Ledger, call: Call) -> None:
    learn(ledger, "run-uat", 2, project=str(small))
    learn(ledger, "run-uat", 3, project="/elsewhere")
    assert "2 events of run-uat (2)" in call("reset", "--project", small / ".gsd", "--yes").stdout
    assert [event.project for event in ledger.evidence()["run-uat"]] == ["/elsewhere"] * 3
    assert f"Nothing is learned in {small}" in call("reset", "--project", small, "--yes").stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("execute-tsk", "nothing is learned of 'execute-tsk'; did you mean 'execute-task'?"),
        ("run-uta", "did you mean 'run-uat'?"),
        ("zzz", "known are execute-task:docs, run-uat, execute-task"),
        ("execute", "nothing is learned of 'execute'"),
        ("", "nothing is learned of ''"),
        ("\x1b[2J", "nothing is learned of"),
    ],
)
def test_an_unknown_pattern_is_one_line(name: str, words: str, ledger: Ledger, refused: Callable[..., str]) -> None:
    learn(ledger, "execute-task:docs", 2)
    learn(ledger, "run-uat", 1)
    said = refused(2, "reset", name, "--yes")
    assert words in said
    assert len(said.splitlines()) == 1
    assert sum(counts(ledger).values()) == 3


def test_without_a_ledger_there_is_nothing_and_none_is_made(ledger_file: Path, call: Call, refused: Callable[..., str]) -> None:
    assert "Nothing is learned" in call("reset").stdout
    assert "nor of anything else" in refused(2, "reset", "run-uat")
    assert not ledger_file.exists()


def test_a_rating_given_again_counts_again(small: Path, ledger: Ledger, call: Call) -> None:
    unit = {"project": str(small), "unit_type": "run-uat", "unit_id": "S01", "pattern": "run-uat"}
    ledger.rate(Rating(**unit, word="under", tier=Tier.LIGHT, at=1.0))
    call("reset", "run-uat")
    assert counts(ledger) == {}
    ledger.rate(Rating(**unit, word="under", tier=Tier.LIGHT, at=4e9))
    assert counts(ledger) == {"run-uat": 1}


# The preference.


def prefer(project: Path, setting: str) -> None:
    (project / "stepdown.yaml").write_text(setting)


def run(call: Call, project: Path) -> str:
    """One run of one unit; what it said of the preference."""
    said = call("run", project, "--agent", "practice", "--only", "M001/S01/T01")
    plan = project / ".gsd/milestones/M001/slices/S01/S01-PLAN.md"
    plan.write_text(plan.read_text().replace("- [x]", "- [ ]"))
    assert (said.returncode, said.stderr) == (0, "")
    return "\n".join(line for line in said.stdout.splitlines() if "dynamic_routing_reset" in line)


SET = "dynamic_routing_reset: true\n"
NOT_SET = "dynamic_routing_reset: false\n"


def test_a_projects_preference_forgets_once_each_time_it_is_set(small: Path, ledger: Ledger, call: Call) -> None:
    learn(ledger, "run-uat", 3, project=str(small))
    learn(ledger, "run-uat", 1, project="/elsewhere")
    assert not run(call, small)
    prefer(small, SET)
    before = (small / "stepdown.yaml").read_bytes()
    assert "dynamic_routing_reset is set: the next `stepdown run` forgets" in call("learned", "--project", small).stdout
    said = run(call, small)
    assert said.startswith("dynamic_routing_reset: forgotten what was learned in this project (")
    assert counts(ledger)["run-uat"] == 1  # what another project taught is not this one's to forget
    learn(ledger, "run-uat", 2, project=str(small), at=4e9)
    assert not run(call, small)
    assert counts(ledger)["run-uat"] == 3
    assert (small / "stepdown.yaml").read_bytes() == before
    assert "is set" not in call("learned", "--project", small).stdout
    for setting, forgets in ((NOT_SET, False), (SET, True), (SET, False), ("version: 1\n", False), (SET, True)):
        prefer(small, setting)
        assert bool(run(call, small)) == forgets


def test_the_users_own_preference_forgets_everything_once_for_all_projects(
    small: Path, home: Path, ledger: Ledger, call: Call, tmp_path: Path
) -> None:
    learn(ledger, "run-uat", 1, project="/elsewhere")
    other = small.rename(tmp_path / "other")
    small.mkdir()
    (small / ".gsd").symlink_to(other / ".gsd")
    own = home / ".stepdown" / "stepdown.yaml"
    own.parent.mkdir(exist_ok=True)
    own.write_text(SET)
    assert "in all projects (1 event)" in run(call, other)
    assert "run-uat" not in counts(ledger)
    learn(ledger, "run-uat", 1, at=3e9)
    prefer(other, NOT_SET)  # hides the user's own word, and does not take it back
    assert not run(call, other)
    (other / "stepdown.yaml").unlink()
    assert not run(call, other)
    assert counts(ledger)["run-uat"] == 1
    own.write_text(NOT_SET)
    assert not run(call, other)
    own.write_text(SET)
    assert "in all projects" in run(call, other)


def test_what_only_looks_forgets_nothing(small: Path, ledger: Ledger, call: Call) -> None:
    learn(ledger, "run-uat", 3, project=str(small))
    prefer(small, SET)
    for look in (("plan",), ("run", "--dry-run", "--agent", "practice"), ("status",), ("report",)):
        assert call(look[0], small, *look[1:]).returncode == 0
    assert counts(ledger) == {"run-uat": 3}
