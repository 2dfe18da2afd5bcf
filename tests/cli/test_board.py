"""How a run under way looks: at any size, whatever its titles say."""

import re
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.agents.port import Step
from stepdown.cli.board import Board, Row, Running, clock, draw, roughly
from stepdown.report.tables import text_width
from stepdown.units import Tier

COLOURS = re.compile(r"\x1b\[[0-9;]*m")

ROWS = (
    *(Row(name=f"execute-task M001/S01/T{n:02}", title="Long ago", state="done") for n in range(1, 9)),
    Row(name="execute-task M001/S02/T01", title="Fix a typo", state="done", tier=Tier.LIGHT, model="haiku", amount="$0.0042"),
    Row(name="execute-task M001/S02/T02", title="Parse", state="running", tier=Tier.STANDARD, model="sonnet", amount="1:04"),
    *(
        Row(name=f"execute-task M001/S02/T{n:02}", title="Later", tier=Tier.HEAVY, model="opus", amount="~$2.44")
        for n in range(3, 33)
    ),
)
RUNNING = Running(
    name="execute-task M001/S02/T02",
    tier=Tier.STANDARD,
    model="sonnet",
    cause="stepped up",
    why="2 files and 5 steps",
    seconds=42.0,
    steps=4,
    last=(
        Step("text", detail="Looking."),
        Step("tool", name="Read", detail="parse.py"),
        Step("tool", name="Bash", detail="pytest"),
        Step("result", name="Bash", detail="2 failed", error=True),
    ),
    tokens=12_345,
    cost=0.0301,
)
BOARD = Board(
    rows=ROWS,
    running=RUNNING,
    seconds=250.0,
    seconds_to_go=4800.0,
    spent=0.0612,
    cost_to_go=73.2,
    saved=0.1044,
    to_rate="execute-task M001/S02/T01",
)


def plain(board: Board, columns: int = 80, rows: int = 24) -> list[str]:
    return draw(board, columns, rows, color=False)


def test_a_terminal_of_eighty_columns() -> None:
    assert plain(BOARD, rows=36) == [
        "✓      execute-task M001/S01/T08  Long ago",
        "✓ [L]  execute-task M001/S02/T01  Fix a typo  haiku   $0.0042",
        "⠋ [S]  execute-task M001/S02/T02  Parse       sonnet     1:04",
        "  [H]  execute-task M001/S02/T03  Later       opus     ~$2.44",
        "  [H]  execute-task M001/S02/T04  Later       opus     ~$2.44",
        "  [H]  execute-task M001/S02/T05  Later       opus     ~$2.44",
        "  [H]  execute-task M001/S02/T06  Later       opus     ~$2.44",
        "",
        "⠋ [S] sonnet  execute-task M001/S02/T02  stepped up  0:42",
        "    2 files and 5 steps",
        "    · text Looking.",
        "    · tool Read parse.py",
        "    · tool Bash pytest",
        "    ! result Bash 2 failed",
        "    4 steps, 12.3k tokens, $0.030",
        "━━━━━━━━━───────────────────────────────  9 of 40 units, 4:10, ~1h 20m to go",
        "spent $0.061, ~$73.20 to go, saved ~$0.10",
        "[o] over  [u] under  [k] ok: execute-task M001/S02/T01",
    ]


def test_at_sixty_columns_the_models_go_and_the_badges_stay() -> None:
    lines = plain(BOARD, columns=60)
    assert "sonnet" not in next(line for line in lines if line.startswith("⠋ [S]  execute"))
    assert any(line.startswith("  [H]  execute-task M001/S02/T03  Later") and line.endswith("~$2.44") for line in lines)
    assert lines[-3].endswith("9 of 40 units, 4:10, ~1h 20m to go")


@pytest.mark.parametrize("columns", [1, 20, 60, 80, 140, 400])
@pytest.mark.parametrize("rows", [1, 2, 5, 9, 14, 24, 60, 200])
def test_it_fits_and_the_progress_is_there(columns: int, rows: int) -> None:
    lines = plain(BOARD, columns, rows)
    assert 1 <= len(lines) <= max(1, rows - 1)
    assert max(map(text_width, lines)) <= max(0, columns - 1)
    if rows >= 24 and columns >= 60:
        assert len(lines) <= rows // 2
        assert [line for line in lines if "9 of 40 units" in line]
        assert [line for line in lines if "Parse" in line]
        assert [line for line in lines if "! result Bash 2 failed" in line]


def test_what_runs_stays_in_sight_wherever_it_is() -> None:
    for at in range(len(ROWS)):
        rows = [msgspec.structs.replace(row, state="running" if n == at else "ahead") for n, row in enumerate(ROWS)]
        lines = plain(msgspec.structs.replace(BOARD, rows=tuple(rows)))
        assert [line for line in lines if line.startswith("⠋") and ROWS[at].name in line and ROWS[at].title in line]


def test_what_is_not_known_says_so() -> None:
    board = Board(rows=ROWS, running=msgspec.structs.replace(RUNNING, cost=None), spent=1.0, unpriced=2)
    lines = plain(board)
    assert "    4 steps, 12.3k tokens, unknown" in lines
    assert lines[-2].endswith("0:00, time to go unknown")
    assert lines[-1] == "spent $1.00 and 2 attempts of unknown cost, cost to go unknown"
    assert plain(msgspec.structs.replace(BOARD, seconds_to_go=0.0))[-3].endswith("longer than expected")


def test_while_the_work_is_verified_it_says_so() -> None:
    board = msgspec.structs.replace(BOARD, running=msgspec.structs.replace(RUNNING, checking=True))
    assert "    4 steps, 12.3k tokens, $0.030; its work is being verified" in plain(board)


def test_an_empty_plan_and_nothing_running() -> None:
    assert plain(Board()) == [
        "───────────────────────────────────────  0 of 0 units, 0:00, time to go unknown",
        "spent $0.00, cost to go unknown",
    ]


def test_colours_change_nothing_but_the_colour() -> None:
    lines = draw(BOARD, 80, 36, color=True)
    assert [COLOURS.sub("", line).rstrip() for line in lines] == [line.rstrip() for line in plain(BOARD, 80, 36)]
    assert any("\x1b[33m[H]" in line for line in lines)
    assert any("\x1b[31m" in line and "2 failed" in line for line in lines)


@given(text=st.text(max_size=60), columns=st.integers(20, 160))
def test_nothing_that_files_say_drives_the_terminal_or_breaks_a_line(text: str, columns: int) -> None:
    row = Row(name=f"execute-task {text}", title=text, state="running", tier=Tier.LIGHT, model=text, amount="0:01")
    running = msgspec.structs.replace(RUNNING, name=text, model=text, why=text, last=(Step("tool", name=text, detail=text),))
    for line in plain(Board(rows=(row, *ROWS), running=running, to_rate=text), columns, 30):
        assert not {character for character in line if unicodedata.category(character) in {"Cc", "Cs"}}
        assert text_width(line) < columns


def test_wide_characters_take_two_cells() -> None:
    rows = (Row(name="a", title="読み込み 🎉", amount="$1.00"), Row(name="b", title="Read", amount="$1.00"))
    first, second = plain(Board(rows=rows))[:2]
    assert text_width(first) == text_width(second)


@pytest.mark.parametrize(
    ("seconds", "shown", "guessed"),
    [(0, "0:00", "1s"), (42.9, "0:42", "43s"), (125, "2:05", "2m"), (3599, "59:59", "1h 00m"), (4810, "1:20:10", "1h 20m")],
)
def test_times(seconds: float, shown: str, guessed: str) -> None:
    assert (clock(seconds), roughly(seconds)) == (shown, guessed)
