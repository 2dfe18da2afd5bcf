import io
import os
import pty

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.report.tables import Column, clip, one_line, styled, table, text_width, use_color

COLUMNS = [Column(title="name", shrinks=True), Column(title="n", right=True)]


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    rows = [["märz", "1"], ["日本語", "20"], ["e\u0301te\u0301", "300"]]
    assert table(COLUMNS, rows) == ["name      n", "märz      1", "日本語   20", "e\u0301te\u0301     300"]


def test_long_text_is_cut_where_it_may_be() -> None:
    rows = [["a very long name of a unit", "12345"], ["日本語日本語日本語日本語", "1"]]
    lines = table(COLUMNS, rows, width=20)
    assert lines == ["name               n", "a very long…   12345", "日本語日本語…      1"]


def test_headings_are_left_out_where_there_are_none() -> None:
    assert table([Column(), Column(right=True)], [["a", "1"], ["b", "22"]], indent=2) == ["  a   1", "  b  22"]


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(COLUMNS, []) == ["name  n"]


def test_colour_changes_no_width() -> None:
    columns = [Column(title="name", style="red", shrinks=True), Column(title="n", right=True, style="bold")]
    rows = [["a very long name of a unit", "12345"], ["b", ""]]
    plain, colored = table(columns, rows, width=20), table(columns, rows, width=20, color=True)
    assert [text_width(line) for line in colored] == [text_width(line) for line in plain]
    assert "\x1b[31ma very long…\x1b[0m" in colored[1]
    assert not any("\x1b" in line for line in plain)


def test_a_cell_cannot_drive_the_terminal() -> None:
    [_, line] = table(COLUMNS, [["\x1b[31mred\nnext\u202eback", "1"]])
    assert line == "\ufffd[31mred next\ufffdback  1"


@pytest.mark.parametrize("text", ["plain", "日本語", "عربى", "👩\u200d💻", "  indented"])
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert one_line(text) == text


def test_a_cut_keeps_styles_and_closes_them() -> None:
    assert clip(styled("abcdef", "red"), 4) == "\x1b[31mabc…\x1b[0m"
    assert clip(styled("abc", "red"), 3) == "\x1b[31mabc\x1b[0m"
    assert clip("abc", 0) == ""


@settings(deadline=None)
@given(text=st.text(), width=st.integers(0, 30))
def test_a_cut_text_fits(text: str, width: int) -> None:
    assert text_width(clip(text, width)) <= width


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.text(max_size=40), st.text(max_size=12), st.text(max_size=12)), max_size=5),
    width=st.integers(1, 60),
    color=st.booleans(),
    indent=st.integers(0, 4),
)
def test_a_table_fits_its_width(rows: list[tuple[str, str, str]], width: int, color: bool, indent: int) -> None:
    columns = [Column(title="a", shrinks=True), Column(title="b", right=True, style="bold"), Column(shrinks=True)]
    lines = table(columns, rows, width=width, color=color, indent=indent)
    assert len(lines) == len(rows) + 1
    assert all(text_width(line) <= width and "\n" not in line for line in lines)


def test_what_can_be_spared_goes_before_anything_is_cut() -> None:
    columns = [
        Column(title="name", shrinks=True),
        Column(title="a", spare=1),
        Column(title="b", spare=2),
        Column(title="c"),
        Column(title="d", spare=2),
    ]
    rows = [["a unit", "1111", "2222", "3333", "4444"]]
    assert table(columns, rows, width=30) == ["name    a     b     c     d", "a unit  1111  2222  3333  4444"]
    assert table(columns, rows, width=29) == ["name    a     c", "a unit  1111  3333"]
    assert table(columns, rows, width=17) == ["name    c", "a unit  3333"]
    assert table(columns, rows) == table(columns, rows, width=30)


def test_colour_is_for_terminals_that_want_it() -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb"), os.fdopen(terminal, "w") as screen:
        assert use_color(screen, {})
        assert use_color(screen, {"NO_COLOR": ""})
        assert not use_color(screen, {"NO_COLOR": "1"})
        assert not use_color(screen, {"TERM": "dumb"})
    assert not use_color(io.StringIO(), {})
