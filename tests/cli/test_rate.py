"""A rating from the command line, and what it says of the next similar unit."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from stepdown.ledger import Attempt, Evidence, Ledger, Outcome, open_ledger
from stepdown.units import Tier

Said = subprocess.CompletedProcess[str]
Write = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def ledger(ledger_file: Path) -> Ledger:
    return open_ledger(f"sqlite:{ledger_file}")


def add(
    ledger: Ledger,
    project: Path,
    unit_id: str,
    *,
    at: float,
    unit_type: str = "execute-task",
    tier: Tier | None = Tier.LIGHT,
    failure: str | None = None,
    finished: bool = True,
) -> None:
    attempt = Attempt(
        project=str(project),
        unit_type=unit_type,
        unit_id=unit_id,
        tier=tier,
        model="anthropic/claude-haiku-4-5",
        pattern=f"{unit_type}:docs",
        started=at,
        decision='{"unit_type": "execute-task", "unit_id": "", "phase": "execution", "tier": "light", '
        '"classification": {"tier": "light", "reason": "documentation"}}',
    )
    attempt_id = ledger.begin(attempt)
    if finished:
        ledger.settle(attempt_id, Outcome(failure=failure, verified=failure is None, finished=at + 1))


def events(project: Path, failures: int, successes: int) -> list[Evidence]:
    one = Evidence(at=0.0, pattern="execute-task:docs", tier=Tier.LIGHT, success=True, project=str(project))
    return [
        msgspec.structs.replace(one, at=float(number), success=number >= failures) for number in range(failures + successes)
    ]


def test_the_last_finished_unit_is_rated(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    add(ledger, small, "T01", at=1.0)
    add(ledger, small, "T02", at=5.0)
    add(ledger, small, "T02", at=7.0, unit_type="hook/review")
    add(ledger, small, "T03", at=8.0, finished=False)
    add(ledger, small, "T04", at=9.0, failure="cancelled")
    add(ledger, small.parent, "T09", at=9.0)
    past = Attempt(project="", unit_type="execute-task", unit_id="T00", tier=Tier.LIGHT, started=20.0)
    ledger.import_records(str(small), "gsd", [(past, Outcome(finished=21.0))])
    said = call("rate", "under", "--project", small)
    assert (said.returncode, said.stderr) == (0, "")
    counted, follows = said.stdout.splitlines()
    assert counted == "execute-task T02 rated under: counts as 2 failures at light for execute-task:docs"
    assert (
        follows == "The next similar unit starts at light, as its plan has it; 9 more such ratings would start it at standard"
    )
    [rating] = ledger.ratings(str(small))
    assert (rating.unit_id, rating.word, rating.tier, rating.model) == (
        "T02",
        "under",
        Tier.LIGHT,
        "anthropic/claude-haiku-4-5",
    )


def test_it_applies_at_once_and_the_last_word_counts(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    ledger.add_evidence(events(small, 3, 6))
    add(ledger, small, "T01", at=100.0)
    said = call("rate", "under", "T01", "--project", small).stdout
    assert "; 1 more such rating would start it at standard" in said
    add(ledger, small, "T02", at=101.0)
    said = call("rate", "under", "T02", "--project", small).stdout
    assert "The next similar unit starts at standard: execute-task:docs starts at standard, where it costs least" in said
    said = call("rate", "over", "execute-task", "T01", "--project", small).stdout
    assert "rated over: counts as 2 successes at light for execute-task:docs, the lowest tier there is" in said
    assert "The next similar unit starts at light, as its plan has it" in said
    assert "more such" not in said
    assert [event.success for event in ledger.evidence()["execute-task:docs"]].count(False) == 4
    assert [rating.word for rating in ledger.ratings()] == ["over", "under"]


def test_what_would_bring_a_pattern_back_is_counted(small: Path, ledger: Ledger, call: Callable[..., Said]) -> None:
    preferences = small / ".gsd" / "PREFERENCES.md"
    preferences.write_text(preferences.read_text().replace("enabled: true", "enabled: true\n  learning: threshold"))
    ledger.add_evidence(events(small, 8, 4))
    add(ledger, small, "T01", at=100.0, tier=Tier.STANDARD)
    said = call("rate", "over", "--project", small / ".gsd").stdout
    assert "counts as 2 successes at light for execute-task:docs\n" in said
    assert "starts at standard: execute-task:docs on light failed" in said
    number = int(said.partition("; ")[2].split()[0])
    for more in range(number):
        assert "starts at standard" in said
        add(ledger, small, f"T{more + 2:02}", at=101.0 + more, tier=Tier.STANDARD)
        said = call("rate", "over", "--project", small).stdout
    assert "starts at light" in said


def test_the_users_own_weight_counts(small: Path, ledger: Ledger, write: Write, call: Callable[..., Said]) -> None:
    write({"stepdown.yaml": "dynamic_routing: {enabled: false, thresholds: {rating_weight: 1}}\n"})
    (small / ".gsd" / "PREFERENCES.md").unlink()
    add(ledger, small, "T01", at=1.0)
    said = call("rate", "under", "--project", small).stdout
    assert "counts as 1 failure at light" in said
    assert "Routing is off, so nothing follows from it yet" in said


def test_an_id_of_several_units_is_ambiguous(small: Path, ledger: Ledger, refused: Callable[..., str]) -> None:
    for unit_type in ("plan-slice", "complete-slice", "hook/review"):
        add(ledger, small, "S01", at=1.0, unit_type=unit_type)
    said = refused(2, "rate", "ok", "S01", "--project", small)
    assert "'S01' is the id of several units: write plan-slice S01 or complete-slice S01" in said
    assert list(ledger.ratings()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("T1", "no unit called 'T1' is in the ledger for .*; did you mean 'T01'?"),
        ("M9/S9", "no unit called 'M9/S9'"),
        ("T02", "execute-task T02 has not finished"),
        ("T03", "execute-task T03 was stopped before it finished (cancelled)"),
        ("T04", "execute-task T04 cannot be rated: the ledger does not know on which tier it ran"),
    ],
)
def test_what_cannot_be_rated(name: str, words: str, small: Path, ledger: Ledger, refused: Callable[..., str]) -> None:
    add(ledger, small, "T01", at=1.0)
    add(ledger, small, "T02", at=1.0)
    add(ledger, small, "T02", at=2.0, finished=False)
    add(ledger, small, "T03", at=1.0, failure="cancelled")
    add(ledger, small, "T04", at=1.0, tier=None)
    said = refused(2, "rate", "ok", name, "--project", small)
    assert all(part in said for part in words.split(".*"))
    assert list(ledger.ratings()) == []


def test_nothing_to_rate(small: Path, ledger_file: Path, refused: Callable[..., str]) -> None:
    assert "no finished unit of" in refused(2, "rate", "ok", "--project", small)
    assert "nothing of" in refused(2, "rate", "ok", "T01", "--project", small)
    assert not ledger_file.exists()
    assert "there is no such directory" in refused(3, "rate", "ok", "--project", small / "gone")
    assert "'good' is not one of" in refused(2, "rate", "good", "--project", small)


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_a_ledger_that_may_only_be_read(small: Path, ledger: Ledger, ledger_file: Path, refused: Callable[..., str]) -> None:
    add(ledger, small, "T01", at=1.0)
    ledger.close()
    ledger_file.chmod(0o400)
    ledger_file.parent.chmod(0o500)
    try:
        assert "is read-only" in refused(4, "rate", "ok", "--project", small)
    finally:
        ledger_file.parent.chmod(0o700)
