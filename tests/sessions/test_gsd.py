import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pi_story import START, answered, asked, call, header, told, write

from stepdown.sessions.gsd import INCOMPLETE, NOT_METRICS, ONLY_SUMS, UNUSED, Gsd
from stepdown.sessions.records import Log

DATA = Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
DISPATCH = """You are executing GSD auto-mode.

## UNIT: Execute Task T01 ("Add the cart") - Slice S01 ("Cart"), Milestone M001

M001/S01/T01: Add the cart
"""


def unit(unit_id: str = "M001/S01/T01", **changes: Any) -> dict[str, Any]:
    """A unit that ran for a minute."""
    return {
        "type": "execute-task",
        "id": unit_id,
        "model": "claude-sonnet-4-6",
        "startedAt": int(START * 1000),
        "finishedAt": int(START * 1000) + 60_000,
        "tokens": {"input": 10, "output": 20, "cacheRead": 30, "cacheWrite": 40, "total": 100},
        "cost": 0.5,
        "assistantMessages": 5,
    } | changes


class Shop:
    """A project with GSD in it, and a home."""

    def __init__(self, room: Path) -> None:
        self.home = room / "home"
        self.project = room / "shop"
        self.gsd = self.project / ".gsd"
        self.gsd.mkdir(parents=True)
        self.source = Gsd()
        self.places = self.source.places({"HOME": str(self.home)}, [self.project])

    def metrics(self, *units: dict[str, Any]) -> None:
        (self.gsd / "metrics.json").write_text(json.dumps({"version": 1, "units": units}), encoding="utf-8")

    def activity(self, name: str, *entries: dict[str, Any]) -> None:
        write(self.gsd / "activity" / f"{name}.jsonl", entries)

    def session(self, *entries: dict[str, Any], inside: str = "") -> Path:
        folder = "-".join(["", "", *self.project.parts[1:], *([inside] if inside else []), "", ""])
        return write(self.home / ".gsd/sessions" / folder / "2026_0a1b.jsonl", [header(cwd=str(self.project)), *entries])

    def read(self) -> Log:
        [file] = self.source.files(self.gsd)
        return self.source.read(file)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


STORY = (told(1, "gsd-auto", DISPATCH), answered(2, call("edit", path="cart.ts")), answered(3))


def test_of_a_finished_unit_its_sums_are_known(shop: Shop) -> None:
    shop.metrics(unit(), unit("M001/S01/T02", cost=0, apiRequests=7), unit("M001/S01/T03", assistantMessages=None))
    log = shop.read()
    assert [(turn.type, turn.id, turn.origin, turn.project) for turn in log.turns] == [
        ("execute-task", f"M001/S01/T0{number}", "plan", str(shop.project)) for number in (1, 2, 3)
    ]
    assert [(one.turn, one.count, one.usd) for one in log.requests] == [(0, 5, 0.5), (1, 7, None), (2, 0, 0.5)]
    one = log.requests[0]
    assert (one.input, one.output, one.cache_read, one.cache_write, one.at) == (10, 20, 30, 40, START + 60)
    assert len({turn.conversation for turn in log.turns}) == len({one.key for one in log.requests}) == 3
    assert log.troubles == {ONLY_SUMS: 3}


def test_what_the_plan_says_of_a_unit(shop: Shop) -> None:
    slice_ = shop.gsd / "milestones/M001/slices/S01"
    (slice_ / "tasks").mkdir(parents=True)
    (shop.gsd / "milestones/M001/M001-ROADMAP.md").write_text("## Slices\n\n- [ ] **S01: Cart** `risk:low`\n")
    (slice_ / "S01-PLAN.md").write_text("## Tasks\n\n- [x] **T01: Add the cart**\n  - Files: `a.ts`, `b.ts`\n")
    (slice_ / "tasks/T01-PLAN.md").write_text("# T01\n\n## Expected Output\n\n- `a.ts`\n- `b.ts`\n")
    shop.metrics(unit(), unit("M009/S01/T01"))
    known, unknown = shop.read().turns
    assert known.signals is not None
    assert known.signals.files == 2
    assert unknown.signals is None


def test_a_unit_with_activity_is_told_once(shop: Shop) -> None:
    shop.metrics(unit(), unit("M001/S01/T02"))
    shop.activity("001-execute-task-M001-S01-T01", *STORY)
    shop.activity("002-execute-task-M001-S01-T01", *STORY, answered(4))
    log = shop.read()
    assert [(turn.id, turn.files) for turn in log.turns] == [("M001/S01/T01", 1), ("M001/S01/T02", 0)]
    assert [(one.turn, one.count) for one in log.requests] == [(0, 1), (0, 1), (0, 1), (1, 5)]
    assert log.troubles == {ONLY_SUMS: 1}


def test_a_second_attempt_without_activity_still_counts(shop: Shop) -> None:
    later = int(START * 1000) + 3_600_000
    shop.metrics(unit(), unit(startedAt=later, finishedAt=later + 1000))
    shop.activity("001-execute-task-M001-S01-T01", *STORY)
    assert [one.count for one in shop.read().requests] == [1, 1, 5]


def test_a_unit_at_the_same_time_is_not_taken_for_another(shop: Shop) -> None:
    shop.metrics(unit(), unit("M002/S01/T01"))
    shop.activity("001-execute-task-M001-S01-T01", *STORY)
    assert [one.count for one in shop.read().requests] == [1, 1, 5]


def test_activity_is_named_by_its_file_where_its_text_names_no_unit(shop: Shop) -> None:
    validate = (told(1, "gsd-auto", "# Milestone Validation - Parallel Review"), answered(2))
    shop.activity("001-validate-milestone-M001-ab12cd", *validate)
    shop.activity("010-run-uat-M001-S02", *(one | {"id": f"u{one['id']}"} for one in (asked(11, "Test it"), answered(12))))
    shop.activity("9-complete-slice-M001-S01", answered(21), asked(22, "And what of the docs?"), answered(23))
    shop.activity("notes", asked(31, "Hello"), answered(32))
    assert [(turn.type, turn.id, turn.origin) for turn in shop.read().turns] == [
        ("complete-slice", "M001/S01", "plan"),
        ("execute-task", "", "human"),
        ("validate-milestone", "M001-ab12cd", "plan"),
        ("run-uat", "M001/S02", "plan"),
        ("execute-task", "", "human"),
    ]


def test_a_session_and_its_activity_and_its_sums_are_one(shop: Shop) -> None:
    shop.metrics(unit())
    file = shop.session(*STORY, asked(5, "Thanks. And the docs?"), answered(6))
    sessions, _, project = shop.places
    assert list(shop.source.files(sessions)) == [file]
    session = shop.source.read(file)
    assert [(turn.id, turn.origin) for turn in session.turns] == [("M001/S01/T01", "plan"), ("", "human")]
    assert shop.read() == Log()
    shop.activity("001-execute-task-M001-S01-T01", *STORY)
    assert project == shop.gsd
    both = Counter(one.key for log in (session, shop.read()) for one in log.requests)
    assert sorted(both.values()) == [1, 2, 2]


def test_a_session_of_a_person_covers_no_unit(shop: Shop) -> None:
    shop.metrics(unit())
    shop.session(asked(1, "What is in the cart?"), answered(2))
    assert [one.count for one in shop.read().requests] == [5]


def test_a_session_in_a_worktree_belongs_to_its_project(shop: Shop) -> None:
    shop.metrics(unit())
    worktree = str(shop.gsd / "worktrees/M001")
    file = shop.session(header(cwd=worktree) | {"id": "0c2d"}, *STORY, inside=".gsd-worktrees-M001")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[1:]))
    assert {turn.project for turn in shop.source.read(file).turns} == {str(shop.project)}
    assert shop.read() == Log()


def test_a_project_has_changed_when_anything_of_it_has(shop: Shop) -> None:
    shop.metrics(unit())
    [file] = shop.source.files(shop.gsd)
    stamps = [shop.source.stamp(file)]
    shop.activity("001-execute-task-M001-S01-T01", *STORY)
    stamps.append(shop.source.stamp(file))
    shop.session(*STORY)
    stamps.append(shop.source.stamp(file))
    file.unlink()
    stamps.append(shop.source.stamp(file))
    assert len(set(stamps)) == 4
    assert list(shop.source.files(shop.gsd)) == [file]
    assert len(shop.read().requests) == 2


def test_units_that_say_nothing_are_named(shop: Shop) -> None:
    nothing = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}
    shop.metrics(unit(tokens=nothing, cost=0), unit(model=""), unit(finishedAt=7))
    log = shop.read()
    assert not log.requests
    assert log.troubles == {UNUSED: 1, INCOMPLETE: 2}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 9}', b'{"version": 1, "units": 3}', b"\xff\xfe"])
def test_metrics_that_are_none(shop: Shop, content: bytes) -> None:
    (shop.gsd / "metrics.json").write_bytes(content)
    with pytest.raises(OSError, match=r"metrics\.json"):
        shop.read()
    shop.activity("001-execute-task-M001-S01-T01", *STORY)
    log = shop.read()
    assert (len(log.requests), log.troubles) == (2, {NOT_METRICS: 1})


def test_where_it_looks(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    projects = [Path("/p"), Path("/q"), Path("/p")]
    own, agent, *rest = Gsd().places(environ, projects)
    assert (own, agent) == (tmp_path / ".gsd/sessions", tmp_path / ".gsd/agent/sessions")
    assert rest == [Path("/p/.gsd"), Path("/q/.gsd")]
    assert Gsd().places(environ | {"GSD_HOME": "~/g"}, [])[0] == tmp_path / "g/sessions"
    assert [list(Gsd().files(place)) for place in (own, agent, *rest)] == [[], [], [], []]


@pytest.mark.skipif(not (DATA / "gsd").is_dir(), reason="the real projects are not here")
@pytest.mark.parametrize(
    ("name", "units", "requests", "usd"),
    [
        ("juniper", 16, 325, 1.0629196),
        ("rokket", 26, 502, 16.363227),
        ("seomachine", 2, 33, 2.9020465),
        ("whalecode", 32, 1018, 58.1376815),
    ],
)
def test_real_projects(name: str, units: int, requests: int, usd: float, tmp_path: Path) -> None:
    source = Gsd()
    *_, place = source.places({"HOME": str(tmp_path)}, [DATA / "gsd" / name])
    [file] = source.files(place)
    log = source.read(file)
    assert (log.troubles[ONLY_SUMS], sum(one.count for one in log.requests)) == (units, requests)
    assert sum(one.usd or 0 for one in log.requests) == pytest.approx(usd)
    assert sum(turn.signals is not None for turn in log.turns) >= 0.8 * units
