"""What is shown of what was learned, and that the next decision agrees with it."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stepdown.ledger import Evidence, Ledger, Rating, open_ledger
from stepdown.units import Tier

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Write = Callable[[Mapping[str, str | bytes]], Path]

DAY = 86_400.0
FIRST = 20_000 * DAY
"""2024-10-04."""
THRESHOLD = "dynamic_routing: {enabled: true, learning: threshold}\n"


@pytest.fixture
def ledger(ledger_file: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:{ledger_file}") as opened:
        yield opened


@pytest.fixture
def small(small: Path, write: Write) -> Path:
    """The project, under the rule that is named in the expectations below."""
    (small / ".gsd/PREFERENCES.md").unlink()
    return write({"stepdown.yaml": f"models: {{default: claude-opus-4-6}}\n{THRESHOLD}"})


def learn(
    ledger: Ledger, pattern: str, tier: Tier, failures: int, successes: int, *, at: float = FIRST, source: str = "outcome"
) -> None:
    """Failures and successes, a minute apart, evenly mixed."""
    total = failures + successes
    ledger.add_evidence(
        [
            Evidence(
                at=at + 60.0 * number,
                pattern=pattern,
                tier=tier,
                success=(number + 1) * failures // total == number * failures // total,
                source=source,
                project="/p",
                unit_id=f"T{number}",
            )
            for number in range(total)
        ]
    )


def rate(ledger: Ledger, word: str, unit_id: str, tier: Tier, *, at: float = FIRST, pattern: str = "execute-task:docs") -> None:
    ledger.rate(Rating(project="/p", unit_type="execute-task", unit_id=unit_id, word=word, tier=tier, pattern=pattern, at=at))


def answer(said: Said) -> Any:
    assert (said.returncode, said.stderr) == (0, "")
    return json.loads(said.stdout)


def test_nothing_learned_says_what_will_count(small: Path, call: Call, ledger_file: Path) -> None:
    said = call("learned", "--project", small)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("Nothing is learned yet. What counts as evidence:\n")
    assert all(word in said.stdout for word in ("stepdown run", "stepdown rate", "routing-history.json"))
    assert not ledger_file.exists()
    learned = answer(call("learned", "--project", small, "--json"))
    assert learned == {
        "routing": "on",
        "rule": "threshold",
        "evidence": {},
        "starts": {},
        "stood_down": {},
        "contradictions": [],
        "reset_due": False,
    }


def test_each_pattern_and_tier_stands_there_with_its_evidence(small: Path, ledger: Ledger, call: Call) -> None:
    learn(ledger, "execute-task:docs", Tier.LIGHT, 2, 8)
    learn(ledger, "execute-task:docs", Tier.HEAVY, 0, 1)
    learn(ledger, "plan-slice", Tier.STANDARD, 0, 3, at=FIRST + DAY, source="gsd")
    rate(ledger, "under", "T01", Tier.LIGHT, at=FIRST + 2 * DAY)
    learned = answer(call("learned", "--project", small, "--json"))
    assert list(learned["evidence"]) == ["execute-task:docs", "plan-slice"]  # what was learned last comes first
    light, heavy = learned["evidence"]["execute-task:docs"]
    assert (light["tier"], light["events"], light["outcomes"], light["ratings"], light["imported"]) == ("light", 11, 10, 1, 0)
    assert light["failed"] == pytest.approx(4 / 12)  # the rating weighs two
    assert 0.0 < light["interval"][0] < 4 / 12 < light["interval"][1] < 1.0
    assert light["newest"] == FIRST + 2 * DAY
    assert (heavy["tier"], heavy["failed"], heavy["interval"][0]) == ("heavy", 0.0, 0.0)
    assert learned["evidence"]["plan-slice"][0]["imported"] == 3

    lines = call("learned", "--project", small).stdout.splitlines()
    assert lines[0].split() == ["pattern", "events", "from", "failed", "80%", "interval", "newest"]
    assert lines[1].split()[:8] == ["[L]", "execute-task:docs", "11", "10", "outcomes,", "1", "rating", "33%"]
    assert lines[1].endswith("2024-10-06")
    assert lines[3].split()[:5] == ["[S]", "plan-slice", "3", "3", "imported"]
    assert "It changes nothing now" in lines[-1]


def test_what_it_changes_is_what_the_next_decision_does(small: Path, ledger: Ledger, call: Call) -> None:
    learn(ledger, "execute-task", Tier.STANDARD, 15, 15)
    said = call("learned", "--project", small).stdout
    expected = "execute-task starts at heavy instead of standard: execute-task on standard failed 50% of the last 30 times"
    assert expected in said
    assert "; standard is tried again after 9 more verified units" in said
    assert answer(call("decide", "execute-task", "--project", small, "--json"))["tier"] == "heavy"

    learn(ledger, "execute-task", Tier.HEAVY, 0, 8, at=FIRST + DAY)
    assert "; standard is tried again after 1 more verified unit\n" in call("learned", "--project", small).stdout
    learn(ledger, "execute-task", Tier.HEAVY, 0, 1, at=FIRST + 2 * DAY)
    [start] = [
        one
        for one in answer(call("learned", "--project", small, "--json"))["starts"]["execute-task"]
        if one["planned"] == "standard"
    ]
    assert (start["tier"], start["probe"], start["probe_in"]) == ("standard", True, None)
    assert f"  {start['reason']}\n" in call("learned", "--project", small).stdout
    assert answer(call("decide", "execute-task", "--project", small, "--json"))["tier"] == "standard"

    call("reset", "execute-task")
    assert "Nothing is learned yet" in call("learned", "--project", small).stdout
    assert answer(call("decide", "execute-task", "--project", small, "--json"))["tier"] == "standard"


def test_a_types_evidence_speaks_for_its_tags(small: Path, ledger: Ledger, call: Call) -> None:
    for tag in ("docs", "test", "config"):
        learn(ledger, f"execute-task:{tag}", Tier.STANDARD, 6, 2)
    said = call("learned", "--project", small).stdout
    for name in ("execute-task", "execute-task:docs", "execute-task:test"):
        assert f"  {name} starts at heavy instead of standard: execute-task on standard failed 75%" in said


def test_with_routing_off_nothing_follows_yet(small: Path, ledger: Ledger, call: Call, write: Write) -> None:
    learn(ledger, "execute-task", Tier.STANDARD, 15, 15)
    write({"stepdown.yaml": "models: {default: claude-opus-4-6}\n"})
    assert "Routing is off, so none of this decides anything yet" in call("learned", "--project", small).stdout
    assert answer(call("learned", "--project", small, "--json"))["routing"] == "off"


@pytest.mark.parametrize(
    ("over", "under", "contradict"),
    [
        (Tier.STANDARD, Tier.LIGHT, True),  # light would have done; light was too weak
        (Tier.STANDARD, Tier.STANDARD, True),
        (Tier.LIGHT, Tier.LIGHT, True),
        (Tier.HEAVY, Tier.LIGHT, False),  # standard would have done; light was too weak
    ],
)
def test_ratings_that_contradict_each_other_are_named_and_all_count(
    over: Tier, under: Tier, *, contradict: bool, small: Path, ledger: Ledger, call: Call
) -> None:
    rate(ledger, "over", "T01", over)
    rate(ledger, "under", "T02", under)
    rate(ledger, "ok", "T03", Tier.LIGHT)
    rate(ledger, "under", "T04", Tier.LIGHT, pattern="plan-slice")
    said = call("learned", "--project", small)
    title = "Ratings that contradict each other (all of them count)\n"
    line = f"  execute-task:docs: T01 was over on {over} ({over.below} would have done), T02 was under on {under} (too weak)\n"
    assert (said.returncode, title + line in said.stdout, title in said.stdout) == (0, contradict, contradict)
    evidence = answer(call("learned", "--project", small, "--json"))["evidence"]
    assert sum(cell["ratings"] for cells in evidence.values() for cell in cells) == 4

    rate(ledger, "ok", "T01", over)  # the last word counts
    assert title not in call("learned", "--project", small).stdout


def test_forgotten_ratings_contradict_nobody(small: Path, ledger: Ledger, call: Call) -> None:
    rate(ledger, "over", "T01", Tier.STANDARD)
    ledger.forget(None, FIRST)
    rate(ledger, "under", "T02", Tier.LIGHT, at=FIRST + 1)
    assert "contradict" not in call("learned", "--project", small).stdout


def test_a_long_past_fits_a_screen(small: Path, ledger: Ledger, call: Call) -> None:
    for number in range(30):
        learn(ledger, f"execute-task:t{number:02}", Tier.LIGHT, 0, 2, at=FIRST + number * DAY)
    said = call("learned", "--project", small).stdout
    assert "... and 10 more, which were learned earlier; --json has them all." in said
    assert "execute-task:t29" in said
    assert "execute-task:t09" not in said
    assert len(said.splitlines()) < 30
    assert len(answer(call("learned", "--project", small, "--json"))["evidence"]) == 30


@pytest.mark.parametrize("pattern", ["", ":docs", "a\x1b[2J", "execute-task:", "x" * 500])
def test_a_name_that_is_no_units_is_shown_and_nothing_more(pattern: str, small: Path, ledger: Ledger, call: Call) -> None:
    learn(ledger, pattern, Tier.LIGHT, 15, 15)
    said = call("learned", "--project", small)
    assert (said.returncode, said.stderr) == (0, "")
    assert "\x1b" not in said.stdout
    assert "50%" in said.stdout


# What nobody should do, and loses nothing where it is done.


def test_what_was_imported_without_a_tier_cannot_be_rated(
    small: Path, write: Write, call: Call, refused: Callable[..., str], ledger: Ledger
) -> None:
    unit = {
        "type": "execute-task",
        "id": "M001/S01/T01",
        "model": "claude-sonnet-4-6",
        "startedAt": 1_750_000_000_000,
        "finishedAt": 1_750_000_060_000,
        "tokens": {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0},
        "cost": 0.1,
    }
    write({".gsd/metrics.json": json.dumps({"version": 1, "units": [unit]})})
    assert call("report", small).returncode == 0
    said = refused(2, "rate", "under", "M001/S01/T01", "--project", small)
    assert "execute-task M001/S01/T01 cannot be rated: the ledger does not know on which tier it ran (it is from gsd)" in said
    assert len(said.splitlines()) == 1
    assert (list(ledger.ratings()), ledger.evidence(), len(ledger.records())) == ([], {}, 1)


def test_outcomes_counted_at_no_tier_are_left_out_by_name(small: Path, write: Write, call: Call, ledger: Ledger) -> None:
    patterns = {"run-uat": {"light": {"success": 2, "fail": 1}}, "plan-slice": {"success": 3, "fail": 1}, "odd": None}
    history = {"version": 1, "patterns": patterns, "feedback": [], "updatedAt": "2026-03-22T10:00:00Z"}
    write({".gsd/routing-history.json": json.dumps(history)})
    said = call("report", small)
    assert said.returncode == 0
    assert said.stderr == "stepdown: routing-history.json: 2 counts left out, impossible or without a tier\n"
    assert {name: len(events) for name, events in ledger.evidence().items()} == {"run-uat": 3}
    assert json.loads((small / ".gsd/routing-history.json").read_text()) == history


def test_a_run_writes_what_it_taught_for_gsd(example: Path, call: Call, ledger: Ledger) -> None:
    path = example / ".gsd/routing-history.json"
    said = call("run", example, "--agent", "practice", "--max-units", "2", "--yes")
    assert (said.returncode, said.stderr) == (0, "")
    before = ledger.evidence()
    assert before
    written = json.loads(path.read_text())["patterns"]
    for name, events in before.items():
        assert sum(cell["success"] for cell in written[name].values()) >= len(events)
    assert call("report", example).stderr == ""
    assert ledger.evidence() == before

    path.write_text("not JSON")
    said = call("run", example, "--agent", "practice", "--max-units", "1", "--yes")
    assert said.returncode == 0
    assert said.stderr.splitlines()
    assert all("routing-history.json is not valid JSON" in line for line in said.stderr.splitlines())
    assert path.read_text() == "not JSON"
    assert sum(map(len, ledger.evidence().values())) > sum(map(len, before.values()))  # the ledger has it all the same
