"""The routing history that GSD and stepdown share: nothing of either is lost in it, and nothing in it counts twice."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.errors import LedgerError
from stepdown.ledger import Evidence, Ledger, Rating, open_ledger
from stepdown.ledger.history import Tally, read_routing_history, write_routing_history
from stepdown.ledger.imports import import_project
from stepdown.units import Tier

NOW = 1_774_173_600.125
PROJECT = "/p"
EMPTY = {"success": 0, "fail": 0}


@pytest.fixture
def gsd(tmp_path: Path) -> Path:
    directory = tmp_path / ".gsd"
    directory.mkdir()
    return directory


@pytest.fixture
def path(gsd: Path) -> Path:
    return gsd / "routing-history.json"


def event(at: float, *, success: bool = True, pattern: str = "execute-task:docs", tier: Tier = Tier.LIGHT) -> Evidence:
    return Evidence(
        at=NOW + at, pattern=pattern, tier=tier, model="a/haiku", success=success, project=PROJECT, unit_id=f"T{at:02.0f}"
    )


def rating(word: str, at: float, *, unit_id: str = "T01", tier: Tier = Tier.STANDARD) -> Rating:
    return Rating(
        project=PROJECT,
        unit_type="execute-task",
        unit_id=unit_id,
        word=word,
        tier=tier,
        pattern="execute-task:docs",
        model="a/haiku",
        at=NOW + at,
    )


def write(ledger: Ledger, gsd: Path, *, now: float = NOW + 100) -> bool:
    return write_routing_history(ledger, gsd, PROJECT, since=NOW, now=now)


def document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def counts(path: Path, pattern: str, tier: str = "light") -> tuple[int, int]:
    cell = document(path)["patterns"][pattern][tier]
    return cell["success"], cell["fail"]


def write_theirs(path: Path, patterns: object, **more: object) -> None:
    whole = {"version": 1, "patterns": patterns, "feedback": [], "updatedAt": "2026-03-22T09:00:00.000Z"} | more
    path.write_text(json.dumps(whole), encoding="utf-8")


def gsd_counts(path: Path, pattern: str, *, success: int = 0, fail: int = 0, tier: str = "light") -> None:
    """What GSD does when units end: it adds to what it has read, scales to its window of 50, writes everything back."""
    whole = document(path)
    cell = whole["patterns"].setdefault(pattern, {name: dict(EMPTY) for name in ("light", "standard", "heavy")})[tier]
    cell["success"] += success
    cell["fail"] += fail
    total = cell["success"] + cell["fail"]
    if total > 50:
        cell |= {name: round(count * 50 / total) for name, count in cell.items()}
    path.write_text(json.dumps(whole | {"updatedAt": "2026-03-22T11:00:00.000Z"}), encoding="utf-8")


def events_of(ledger: Ledger) -> list[Evidence]:
    return [event for events in ledger.evidence().values() for event in events]


def test_what_was_learned_stands_there_as_gsd_counts_it(ledger: Ledger, gsd: Path, path: Path) -> None:
    ledger.add_evidence([event(1), event(2, success=False), event(3, pattern="plan-slice", tier=Tier.HEAVY)])
    ledger.rate(rating("over", 4))
    assert write(ledger, gsd)
    written = document(path)
    # With a tag it counts for the type too; a rating counts twice; all three tiers are there, since GSD asks for each of them.
    docs = {"light": {"success": 3, "fail": 1}, "standard": EMPTY, "heavy": EMPTY}
    plan = {"light": EMPTY, "standard": EMPTY, "heavy": {"success": 1, "fail": 0}}
    assert written["patterns"] == {"execute-task": docs, "execute-task:docs": docs, "plan-slice": plan}
    assert (written["version"], written["updatedAt"]) == (1, "2026-03-22T10:01:40.125Z")
    feedback = {"unitType": "execute-task", "unitId": "T01", "tier": "standard", "rating": "over"}
    assert written["feedback"] == [feedback | {"timestamp": "2026-03-22T10:00:04.125Z"}]
    assert str(gsd.parent) not in path.read_text()  # it may be shared: no path of this machine
    assert f'"{PROJECT}' not in path.read_text()


def test_nothing_new_is_no_reason_to_write(ledger: Ledger, gsd: Path, path: Path) -> None:
    ledger.add_evidence([event(-5), msgspec.structs.replace(event(5), project="/elsewhere")])
    assert not write(ledger, gsd)
    assert not path.exists()


def test_without_a_directory_of_gsd_there_is_none_afterwards(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add_evidence([event(1)])
    assert not write(ledger, tmp_path / ".gsd")
    assert list(tmp_path.glob(".gsd*")) == []


def test_reading_it_back_doubles_nothing(ledger: Ledger, gsd: Path, path: Path) -> None:
    write_theirs(path, {"execute-task": {"light": {"success": 3, "fail": 1}}})
    import_project(ledger, gsd, PROJECT)
    ledger.add_evidence([event(1), event(2, success=False)])
    ledger.rate(rating("under", 3))
    before = ledger.evidence()
    for _ in range(3):
        assert write(ledger, gsd)
        assert import_project(ledger, gsd, PROJECT).evidence == 0
        assert import_project(ledger, gsd, "/moved").evidence == 0  # the directory has another name now
    assert ledger.evidence() == before
    assert counts(path, "execute-task") == (4, 2)
    ledger.rate(rating("ok", 50))  # another word, while the file holds the old one
    assert import_project(ledger, gsd, PROJECT).evidence == 0


def test_another_ledger_takes_it_over_whole(ledger: Ledger, gsd: Path, path: Path) -> None:
    write_theirs(path, {"execute-task": {"standard": {"success": 3, "fail": 1}}})
    import_project(ledger, gsd, PROJECT)
    ledger.add_evidence([event(1), event(2, success=False), event(3, pattern="run-uat")])
    ledger.rate(rating("under", 4))
    assert write(ledger, gsd)
    with open_ledger("memory:") as other:
        assert import_project(other, gsd, PROJECT).evidence == 8
        assert other.evidence() == ledger.evidence()
        # There it goes on: what it adds comes back here, each event once.
        other.add_evidence([event(9)])
        assert write_routing_history(other, gsd, PROJECT, since=NOW + 8, now=NOW + 200)
    assert import_project(ledger, gsd, PROJECT).evidence == 1
    assert len(events_of(ledger)) == 9
    assert import_project(ledger, gsd, PROJECT).evidence == 0


def test_what_was_forgotten_neither_stands_there_nor_comes_back(ledger: Ledger, gsd: Path, path: Path) -> None:
    write_theirs(path, {"execute-task": {"light": {"success": 0, "fail": 9}}})
    import_project(ledger, gsd, PROJECT)
    ledger.add_evidence([event(1, success=False)])
    write(ledger, gsd)
    assert ledger.forget(None, NOW + 10) == 10
    assert import_project(ledger, gsd, PROJECT).evidence == 0
    gsd_counts(path, "execute-task", fail=2)
    assert import_project(ledger, gsd, PROJECT).evidence == 0
    ledger.add_evidence([event(20)])
    assert write(ledger, gsd)
    assert counts(path, "execute-task:docs") == (1, 0)
    assert [one.at for one in events_of(ledger)] == [NOW + 20]
    # GSD's own counts are GSD's, which has its own way to forget.
    assert counts(path, "execute-task") == (1, 11)


def test_what_gsd_put_there_stays_and_so_do_keys_nobody_knows(ledger: Ledger, gsd: Path, path: Path) -> None:
    theirs = {
        "unitType": "plan-slice",
        "unitId": "S01",
        "tier": "heavy",
        "rating": "ok",
        "timestamp": "2026-03-20T10:00:00.000Z",
    }
    odd = {"light": {"success": 2, "fail": 1, "note": "x"}, "extreme": 7}
    write_theirs(path, {"run-uat": odd, "strange": [1], "new\nline": {}}, feedback=[theirs, "?"], future={"a": [1]})
    ledger.add_evidence([event(1, pattern="run-uat")])
    ledger.rate(rating("ok", 2))
    for now in (NOW + 100, NOW + 200):
        assert write(ledger, gsd, now=now)
        written = document(path)
        assert written["future"] == {"a": [1]}
        assert written["patterns"]["run-uat"]["light"] == {"success": 3, "fail": 1, "note": "x"}
        assert (written["patterns"]["run-uat"]["extreme"], written["patterns"]["strange"]) == (7, [1])
        assert written["patterns"]["new\nline"] == {}
        assert written["feedback"][:2] == [theirs, "?"]
        assert len(written["feedback"]) == 3  # ours once, however often it is written


def test_what_gsd_counts_after_us_is_kept(ledger: Ledger, gsd: Path, path: Path) -> None:
    ledger.add_evidence([event(1), event(2, success=False)])
    write(ledger, gsd)
    gsd_counts(path, "execute-task:docs", success=3, fail=1)
    gsd_counts(path, "execute-task", success=3, fail=1)
    ledger.add_evidence([event(3)])
    write(ledger, gsd)
    assert counts(path, "execute-task:docs") == (5, 2)
    assert counts(path, "execute-task") == (5, 2)
    # A ledger that knows nothing yet takes both: our three events as they were, GSD's four by number.
    with open_ledger("memory:") as other:
        assert import_project(other, gsd, PROJECT).evidence == 7
        assert sorted(one.source for one in events_of(other)) == ["gsd"] * 4 + ["outcome"] * 3
        assert sum(not one.success for one in events_of(other)) == 2


def test_gsds_window_takes_nothing_of_what_gsd_had_before(ledger: Ledger, gsd: Path, path: Path) -> None:
    write_theirs(path, {"run-uat": {"light": {"success": 30, "fail": 10}}})
    ledger.add_evidence([event(number, pattern="run-uat") for number in range(1, 41)])
    write(ledger, gsd)
    assert counts(path, "run-uat") == (70, 10)
    gsd_counts(path, "run-uat", success=1)  # brings 81 down to 50, of which 40 would be ours
    write(ledger, gsd)
    assert counts(path, "run-uat") == (70, 10)


def test_a_type_is_not_counted_again_for_its_tags(ledger: Ledger, gsd: Path, path: Path) -> None:
    """GSD counts a unit with a tag for the type and for the tag."""
    tiers = {"light": {"success": 5, "fail": 3}}
    docs, tests = {"light": {"success": 2, "fail": 2}}, {"light": {"success": 1, "fail": 0}}
    write_theirs(path, {"execute-task": tiers, "execute-task:docs": docs, "execute-task:test": tests})
    assert import_project(ledger, gsd, PROJECT).evidence == 8
    known = {name: sorted(one.success for one in events) for name, events in ledger.evidence().items()}
    assert known == {
        "execute-task": [False, True, True],
        "execute-task:docs": [False, False, True, True],
        "execute-task:test": [True],
    }


def test_the_window_holds_for_each_pattern_and_tier(ledger: Ledger, gsd: Path, path: Path) -> None:
    ledger.add_evidence([event(number, pattern="run-uat", success=number > 30) for number in range(1, 81)])
    ledger.add_evidence([event(number, pattern="run-uat", tier=Tier.HEAVY) for number in range(1, 4)])
    write(ledger, gsd)
    assert (counts(path, "run-uat"), counts(path, "run-uat", "heavy")) == ((50, 0), (3, 0))
    assert len(read_routing_history(path).dated) == 53


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 2, "patterns": {}}', '{"version": 1, "patterns": []}', "\x00"])
def test_a_file_that_is_something_else_is_left_alone(ledger: Ledger, gsd: Path, path: Path, content: str) -> None:
    path.write_text(content)
    ledger.add_evidence([event(1)])
    with pytest.raises(LedgerError, match="left alone"):
        write(ledger, gsd)
    assert path.read_text() == content
    assert list(gsd.iterdir()) == [path]


def test_it_is_written_whole_or_not_at_all(ledger: Ledger, gsd: Path, path: Path) -> None:
    ledger.add_evidence([event(1)])
    real = gsd.parent / "kept-elsewhere.json"
    write_theirs(real, {})
    real.chmod(0o640)
    path.symlink_to(real)
    write(ledger, gsd)
    assert (path.is_symlink(), real.stat().st_mode & 0o777, counts(real, "execute-task")) == (True, 0o640, (1, 0))
    path.unlink()
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot be read"):
        write(ledger, gsd)
    assert list(gsd.iterdir()) == [path]


GOOD = {"at": NOW, "pattern": "run-uat", "tier": "light", "success": True, "source": "outcome"}


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        "event",
        GOOD | {"at": "now"},
        GOOD | {"at": -1},
        GOOD | {"at": 4e9},  # after the file was written: it would be the newest for ever
        GOOD | {"tier": "gigantic"},
        GOOD | {"source": "gsd"},
        GOOD | {"pattern": ""},
        GOOD | {"pattern": "a\nb"},
        GOOD | {"unit": "\x1b[2J"},
        GOOD | {"success": "yes"},
    ],
    ids=repr,
)
def test_an_odd_event_is_left_out_and_counted(ledger: Ledger, gsd: Path, path: Path, odd: object) -> None:
    write_theirs(path, {}, stepdown={"events": [GOOD, odd]}, updatedAt="2026-03-22T10:00:00.125Z")
    result = import_project(ledger, gsd, PROJECT)
    assert (result.evidence, result.skipped) == (1, 1)
    assert [(one.pattern, one.weight, one.project) for one in events_of(ledger)] == [("run-uat", 1.0, PROJECT)]


@pytest.mark.parametrize(
    "odd", [None, 5, [], "x", {}, {"events": 5, "gsd": 5, "counted": 5}, {"gsd": {"run-uat": 5}}], ids=repr
)
def test_an_odd_part_of_ours_keeps_nobody_from_theirs(ledger: Ledger, gsd: Path, path: Path, odd: object) -> None:
    write_theirs(path, {"run-uat": {"light": {"success": 2, "fail": 1}}}, stepdown=odd)
    assert import_project(ledger, gsd, PROJECT).evidence == 3
    ledger.add_evidence([event(1, pattern="run-uat")])
    assert write(ledger, gsd)
    assert counts(path, "run-uat") == (3, 1)


tallies = st.builds(Tally, st.integers(0, 60), st.integers(0, 60))


@given(theirs=tallies, ours=tallies)
def test_what_was_added_can_be_taken_off(theirs: Tally, ours: Tally) -> None:
    assert (theirs + ours).beyond(ours) == theirs
    rest = theirs.beyond(ours)
    assert rest.total == max(0, theirs.total - ours.total)
    assert 0 <= rest.fail <= theirs.fail


def test_what_is_dated_in_the_future_is_not_written_yet(ledger: Ledger, gsd: Path, path: Path) -> None:
    """A clock that was wrong once must not make every later reader complain."""
    ledger.add_evidence([event(9e6)])
    assert not write(ledger, gsd)
    ledger.add_evidence([event(1)])
    assert write(ledger, gsd)
    assert [one.at for one in read_routing_history(path).dated] == [NOW + 1]
    assert read_routing_history(path).skipped == 0
