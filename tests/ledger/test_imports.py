import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.errors import LedgerError
from stepdown.ledger import Evidence, Ledger, open_ledger
from stepdown.ledger.history import read_routing_history
from stepdown.ledger.imports import import_project, read_metrics
from stepdown.units import Tier, Tokens

DATA = Path(os.environ.get("STEPDOWN_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
STARTED = 1_774_131_019_103


def unit(**changes: Any) -> dict[str, Any]:
    whole = {
        "type": "execute-task",
        "id": "M001/S01/T01",
        "model": "claude-haiku-4-5",
        "startedAt": STARTED,
        "finishedAt": STARTED + 60_000,
        "tokens": {"input": 10, "output": 20, "cacheRead": 30, "cacheWrite": 40, "total": 100},
        "cost": 0.5,
        "toolCalls": 7,
        "assistantMessages": 5,
        "userMessages": 0,
    } | changes
    return {key: value for key, value in whole.items() if value is not ...}


@pytest.fixture
def gsd(tmp_path: Path) -> Path:
    directory = tmp_path / ".gsd"
    directory.mkdir()
    return directory


def write_metrics(gsd: Path, *units: object) -> Path:
    path = gsd / "metrics.json"
    path.write_text(json.dumps({"version": 1, "projectStartedAt": STARTED, "units": units}), encoding="utf-8")
    return path


def write_history(gsd: Path, patterns: object, **more: object) -> Path:
    path = gsd / "routing-history.json"
    document = {"version": 1, "patterns": patterns, "feedback": [], "updatedAt": "2026-03-22T10:00:00.123Z"} | more
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_unit_becomes_an_attempt_that_nothing_checked(gsd: Path) -> None:
    path = write_metrics(gsd, unit(tier="light", modelDowngraded=True, apiRequests=6))
    metrics = read_metrics(path, resolve=lambda name: f"anthropic/{name}")
    assert (len(metrics.records), metrics.skipped, metrics.unpriced) == (1, 0, 0)
    [(attempt, outcome)] = metrics.records
    assert (attempt.unit_type, attempt.unit_id, attempt.pattern) == ("execute-task", "M001/S01/T01", "execute-task")
    assert (attempt.model, attempt.tier, attempt.downgraded) == ("anthropic/claude-haiku-4-5", Tier.LIGHT, True)
    assert (attempt.started, outcome.finished) == (STARTED / 1000, STARTED / 1000 + 60)
    assert (outcome.cost_usd, outcome.cost_source, outcome.requests) == (0.5, "reported", 6)
    assert outcome.tokens == Tokens(input=10, output=20, cache_read=30, cache_write=40)
    assert (outcome.failure, outcome.verified) == (None, None)


def test_an_older_unit_has_no_tier_and_counts_requests_by_answers(gsd: Path) -> None:
    [(attempt, outcome)] = read_metrics(write_metrics(gsd, unit())).records
    assert (attempt.tier, attempt.downgraded, outcome.requests) == (None, False, 5)


@pytest.mark.parametrize("cost", [0, 0.0, None, ...])
def test_work_without_a_cost_is_of_unknown_cost_not_free(gsd: Path, cost: object) -> None:
    metrics = read_metrics(write_metrics(gsd, unit(cost=cost)))
    [(_, outcome)] = metrics.records
    assert (outcome.cost_usd, outcome.cost_source) == (None, "unknown")
    assert "subscription or a local model" in outcome.message
    assert outcome.tokens is not None
    assert metrics.unpriced == 1


def test_a_unit_without_any_use_tells_nothing_about_use(gsd: Path) -> None:
    nothing = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}
    [(_, outcome)] = read_metrics(write_metrics(gsd, unit(cost=0, tokens=nothing))).records
    assert (outcome.tokens, outcome.cost_usd, outcome.requests) == (None, None, None)


TOKENS = unit()["tokens"]
ODD: list[object] = [
    unit(tokens=None),
    unit(tokens=...),
    unit(tokens=[1, 2]),
    unit(tokens=TOKENS | {"input": -1}),
    unit(tokens=TOKENS | {"output": "20"}),
    unit(tokens=TOKENS | {"cacheRead": None}),
    unit(tokens=TOKENS | {"input": 1.5}),
    unit(tokens=TOKENS | {"input": True}),
    unit(tokens=TOKENS | {"input": 10**40}),
    unit(cost=-0.1),
    unit(cost="0.5"),
    unit(cost=1e300),
    unit(type=...),
    unit(type=""),
    unit(type="execute\ntask"),
    unit(id=7),
    unit(model=None),
    unit(startedAt="yesterday"),
    unit(startedAt=0),
    unit(startedAt=10**30),
    unit(finishedAt=...),
    unit(finishedAt=STARTED - 1),
    None,
    "unit",
    [],
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_unit_is_left_out_and_counted(gsd: Path, odd: object) -> None:
    metrics = read_metrics(write_metrics(gsd, unit(), odd))
    assert (len(metrics.records), metrics.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"version": 1, "units": [', "not valid JSON"),
        (b"\x00\xff\xfe binary", "not valid JSON"),
        (b'{"version": 1, "units": ["\xff"]}', "not valid JSON"),
        (b'{"version": 1, "units": ' + b"[" * 100_000, "not valid JSON"),
        (b"[]", "does not hold a JSON object"),
        (b'{"version": 2, "units": []}', "version 2, this stepdown reads 1"),
        (b'{"units": []}', "version None"),
        (b'{"version": 1}', "'units' is not a list"),
    ],
)
def test_a_file_that_is_something_else_is_one_line(gsd: Path, content: bytes, message: str) -> None:
    path = gsd / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=message) as caught:
        read_metrics(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_obstacle(gsd: Path) -> None:
    path = write_metrics(gsd, unit())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_metrics(path).records) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # files are slow on a busy machine
@given(changes=st.dictionaries(st.sampled_from([*unit(), "tier", "apiRequests"]), json_values, max_size=3))
def test_whatever_a_unit_holds_the_ledger_takes_it_or_it_is_counted(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    path = write_metrics(tmp_path_factory.getbasetemp(), unit(**changes))
    metrics = read_metrics(path)
    with open_ledger("memory:") as ledger:
        assert ledger.import_records("/p", "gsd", metrics.records) + metrics.skipped == 1


def test_counts_become_events_at_the_files_date(gsd: Path) -> None:
    history = read_routing_history(
        write_history(gsd, {"execute-task": {"light": {"success": 3, "fail": 1}, "heavy": {"success": 1, "fail": 0}}})
    )
    light = [event for event in history.counted if event.tier is Tier.LIGHT]
    assert sorted(event.success for event in light) == [False, True, True, True]
    assert len({event.at for event in light}) == 4
    assert max(event.at for event in light) == pytest.approx(1_774_173_600.123)
    assert [(e.pattern, e.success, e.source) for e in history.counted if e.tier is Tier.HEAVY] == [
        ("execute-task", True, "gsd")
    ]


@settings(deadline=None)  # files are slow on a busy machine
@given(success=st.integers(0, 300), fail=st.integers(0, 300))
def test_failures_are_spread_evenly_and_keep_their_share(
    tmp_path_factory: pytest.TempPathFactory, success: int, fail: int
) -> None:
    path = write_history(tmp_path_factory.getbasetemp(), {"p": {"light": {"success": success, "fail": fail}}})
    events = read_routing_history(path).counted
    assert len(events) == min(50, success + fail)
    if events:
        failed = sum(not event.success for event in events)
        assert abs(failed / len(events) - fail / (success + fail)) <= 0.5 / len(events) + 1e-9
        # Any half has its half: whatever the window later forgets, the rate stays.
        half = events[: len(events) // 2]
        assert abs(sum(not event.success for event in half) - failed / 2) <= 1


def test_a_count_that_makes_no_sense_is_left_out(gsd: Path) -> None:
    patterns = {
        "a": {"light": {"success": -1, "fail": 0}, "standard": {"success": 1}},
        "b": {"light": 5},
        "c": None,
        "d": {"light": {"success": "many", "fail": math.pi}, "gigantic": {"success": 1, "fail": 0}},
        "e\n": {"light": {"success": 1, "fail": 0}},
    }
    history = read_routing_history(write_history(gsd, patterns))
    assert [(event.pattern, event.tier) for event in history.counted] == [("a", Tier.STANDARD)]
    assert history.skipped == 5


@pytest.mark.parametrize("updated", [None, "yesterday", 5, "0001-01-01T00:00:00Z"])
def test_a_history_without_a_date_is_left_alone(gsd: Path, updated: object) -> None:
    with pytest.raises(LedgerError, match="'updatedAt' is not a date"):
        read_routing_history(write_history(gsd, {}, updatedAt=updated))


def test_ratings_are_counted_but_not_added_to_the_counts_again(gsd: Path) -> None:
    rating = {
        "unitType": "execute-task",
        "unitId": "T01",
        "tier": "light",
        "rating": "under",
        "timestamp": "2026-03-22T10:00:00Z",
    }
    history = read_routing_history(
        write_history(gsd, {"execute-task": {"light": {"success": 0, "fail": 2}}}, feedback=[rating])
    )
    assert (len(history.counted), history.ratings) == (2, 1)


def test_a_project_is_imported_once(ledger: Ledger, gsd: Path) -> None:
    write_metrics(gsd, unit(), unit(id="M001/S01/T02", cost=0), unit(tokens=None))
    write_history(gsd, {"execute-task": {"light": {"success": 3, "fail": 1}}})
    result = import_project(ledger, gsd, "/p")
    assert (result.units, result.evidence, result.skipped) == (2, 4, 1)
    assert result.notes == (
        "metrics.json: 1 unit left out, incomplete or impossible",
        "metrics.json: the cost of 1 unit is unknown",
    )
    before = (list(ledger.records()), ledger.evidence())
    again = import_project(ledger, gsd, "/p")
    assert (again.units, again.evidence) == (0, 0)
    assert (list(ledger.records()), ledger.evidence()) == before
    assert {event.project for event in before[1]["execute-task"]} == {"/p"}


def test_new_units_are_added_but_running_totals_are_not_counted_twice(ledger: Ledger, gsd: Path) -> None:
    write_metrics(gsd, unit())
    write_history(gsd, {"execute-task": {"light": {"success": 3, "fail": 1}}})
    import_project(ledger, gsd, "/p")
    write_metrics(gsd, unit(), unit(id="M001/S01/T02"))
    write_history(gsd, {"execute-task": {"light": {"success": 4, "fail": 1}}}, updatedAt="2026-03-23T10:00:00Z")
    result = import_project(ledger, gsd, "/p")
    assert (result.units, result.evidence) == (1, 0)
    assert len(ledger.evidence()["execute-task"]) == 4


def test_events_of_another_origin_do_not_keep_the_history_out(ledger: Ledger, gsd: Path) -> None:
    ledger.add_evidence([Evidence(at=1.0, pattern="p", tier=Tier.LIGHT, success=True, project="/p")])
    ledger.add_evidence([Evidence(at=1.0, pattern="p", tier=Tier.LIGHT, success=True, project="/q", source="gsd")])
    write_history(gsd, {"execute-task": {"light": {"success": 1, "fail": 0}}})
    assert import_project(ledger, gsd, "/p").evidence == 1


def test_a_broken_file_is_a_note_and_the_other_one_is_read(ledger: Ledger, gsd: Path) -> None:
    (gsd / "metrics.json").write_text("{", encoding="utf-8")
    write_history(gsd, {"execute-task": {"light": {"success": 1, "fail": 0}}})
    result = import_project(ledger, gsd, "/p")
    assert (result.units, result.evidence) == (0, 1)
    assert "metrics.json is not valid JSON" in result.notes[0]


def test_a_project_without_a_past_is_no_news(ledger: Ledger, tmp_path: Path) -> None:
    assert import_project(ledger, tmp_path / "none", "/p").notes == ()


@pytest.mark.skipif(not (DATA / "gsd").is_dir(), reason="the real projects are not here: set STEPDOWN_DATA")
@pytest.mark.parametrize(
    ("name", "units", "usd"), [("whalecode", 33, 58.14), ("rokket", 26, 16.36), ("juniper", 16, 1.06), ("seomachine", 2, 2.90)]
)
def test_real_projects_are_imported_whole(ledger: Ledger, name: str, units: int, usd: float) -> None:
    result = import_project(ledger, DATA / "gsd" / name / ".gsd", name)
    assert (result.units, result.skipped) == (units, 0)
    assert ledger.spent(name).usd == pytest.approx(usd, abs=0.005)
