"""What the bench of the live page is made of: its questions, its load, its open pages and its browser, over a small ledger."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.gateway.install import NotHere
from bench.gateway.load import Order
from bench.gateway.running import Load, loading, providing
from bench.page import paint, questions, table, watched
from bench.page.__main__ import goals
from bench.page.filled import PROJECT, fill
from bench.page.followers import Heard, open_pages
from bench.page.gateway import QUERY, Served, gateway
from bench.page.questions import TOGETHER, TimedLedger, question
from bench.page.watched import Turn
from stepdown.ledger import open_ledger

NOW = 1_770_000_000.0
DAY = 86_400.0


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "ledger.db"
    fill(path, 120)
    return path


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with loading() as one:
        yield one


@pytest.fixture(scope="module")
def served(ledger: Path, load: Load, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with providing() as provider, gateway(ledger, tmp_path_factory.mktemp("gateway") / "home", provider, load) as one:
        yield one


def _turn(cpu: float, **known: object) -> Turn:
    heard = known.get("heard")
    assert heard is None or isinstance(heard, Heard)
    problems = {"cut": 1} if known.get("cut") else {}
    return Turn(cpu=cpu, seconds=10.0, requests=200, problems=problems, memory=60_000_000, heard=heard)


def test_a_ledger_is_filled_once(ledger: Path) -> None:
    before = ledger.stat().st_mtime_ns
    fill(ledger, 10)
    assert ledger.stat().st_mtime_ns == before
    with open_ledger(f"sqlite:{ledger}") as opened:
        assert sum(1 for _ in opened.every_unit(PROJECT)) == 120


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "units"),
        ({"limit": 21, "before": None, "id_starts": "", "failed": False}, "units"),
        ({"limit": 21, "before": (NOW, 3), "id_starts": "M", "failed": True}, "units, before, id starts, failed"),
        ({"since": 0.0}, "units, all days"),
        ({"since": NOW - 7 * DAY, "daily": True}, "units, 7 days, daily"),
    ],
)
def test_a_question_is_called_the_same_each_time(known: dict[str, object], said: str) -> None:
    assert question("units", known, NOW) == said


def test_whatever_is_asked_is_timed(ledger: Path) -> None:
    with open_ledger(f"sqlite:{ledger}") as opened:
        timed = TimedLedger(opened, NOW)
        timed.looking_at = "here"
        assert timed.projects() == [PROJECT]
        with pytest.raises(TypeError):
            timed.units()
    assert {key: len(taken) for key, taken in timed.asked.items()} == {("here", "projects"): 1, ("here", "units"): 1}


def test_all_that_the_page_looks_at_is_asked_of_both_ledgers(ledger: Path) -> None:
    rows = questions.questions(ledger, ledger, 2)
    asked = {(row.looking_at, row.question) for row in rows}
    assert asked >= {
        ("newest units", "units"),
        ("older units", "units, before"),
        ("units by id", "units, id starts"),
        ("failed units", "units, failed"),
        ("sums and learned", "accounts, all days"),
        ("what routing is told", "evidence"),
        ("receipt", "of_unit"),
        ("receipt of no unit", "records"),
        ("every second", "stamp"),
    }
    assert all(row.small > 0 and row.worst >= row.median > 0 for row in rows)
    assert TOGETHER not in {row.question for row in questions.over(rows, 0.0)}
    assert questions.over(rows, 3600.0) == []


def test_the_load_keeps_the_pace_it_is_given(load: Load) -> None:
    with providing() as provider:
        result = load(Order(port=provider, connections=3, requests=11, rate=40.0))
    assert (len(result.latencies), result.problems) == (11, {})
    assert result.seconds >= 10 / 40


def test_turns_are_compared_with_those_of_the_same_round() -> None:
    heard = Heard(told=10, size=50_000, lost=1)
    turns = {
        (20.0, 0): [_turn(1.0), _turn(3.0)],  # the machine was three times as slow in the second round
        (20.0, 50): [_turn(1.1, heard=heard), _turn(3.9, heard=heard, cut=True)],
    }
    _, row = watched.rows(turns)
    assert row.more_share == pytest.approx(0.2)
    assert row.shares == pytest.approx((0.1, 0.3))
    assert row.more_core == pytest.approx(0.05)
    assert (row.told, row.size, row.requests) == (1.0, 5_000.0, 400)
    assert row.problems == {"cut": 1, "pages lost": 2}
    of_its_cpu, of_a_core = goals([row])
    assert "MISSED (20.0%)" in of_its_cpu
    assert "(5.00%)" in of_a_core


def test_pages_that_are_open_are_told_what_happens(served: Served, load: Load) -> None:
    one = served.running
    with open_pages(one.port, f"/page/events{QUERY}", 3) as pages:
        pages.count()
        load(Order(port=one.port, headers=one.headers, requests=3))
        turns = watched.watched(one, (load, load), rounds=1, seconds=1.0, say=lambda _: None, rates=(0.0, 10.0), pages=(0, 2))
    assert pages.heard is not None
    assert pages.heard.told >= 1
    assert pages.heard.lost == 0
    rows = watched.rows(turns)
    assert [(row.rate, row.pages, row.requests, row.problems) for row in rows] == [
        (0.0, 0, 0, {}),
        (0.0, 2, 0, {}),
        (10.0, 0, 10, {}),
        (10.0, 2, 10, {}),
    ]
    assert len({line.count("|") for line in table.followed(rows).splitlines()}) == 1


def test_who_has_no_page_is_said_at_once(served: Served) -> None:
    with pytest.raises(ConnectionError, match="2 pages"), open_pages(served.running.port, "/page/nowhere", 2):
        pass


def test_the_page_is_painted_and_so_is_what_it_is_compared_with(served: Served, tmp_path: Path) -> None:
    try:
        with paint.browsing() as browser, paint.same_bytes(served.page, tmp_path) as static:
            found = {"page": [paint.paint(browser, served.page)], "static": [paint.paint(browser, static)]}
    except NotHere as problem:
        pytest.skip(str(problem))
    rows = paint.rows(found, "static")
    assert all(0 < row.first_byte < row.painted <= row.worst for row in rows)
    assert rows[1].times_base == 1.0
    assert re.search(r"\| page \| 1 \|", table.painted(rows))
