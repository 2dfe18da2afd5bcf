"""Files as they come: encodings, line endings, broken YAML, sizes."""

import os
from pathlib import Path

import pytest

from stepdown.errors import PreferencesError
from stepdown.preferences.document import MAX_BYTES, Document, read_document

TAB = "not valid YAML: found character that cannot start any token; indent with spaces, not tabs"
TAGS = "YAML tags ('!...') have no meaning here; write the plain value"


def read(directory: Path, data: str | bytes, name: str = "p.md") -> Document:
    path = directory / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    document = read_document(path, name)
    assert document is not None
    return document


def problem(directory: Path, data: str | bytes, name: str = "p.md") -> str:
    with pytest.raises(PreferencesError) as caught:
        read(directory, data, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_mark_and_line_endings_change_nothing(tmp_path: Path, newline: str, mark: str) -> None:
    document = read(tmp_path, (mark + "---\n# hi\na: 1\nb:\n  c: x\n---\ntext\n").replace("\n", newline))
    entries = document.root.entries()
    assert (entries["a"].value, entries["a"].where) == (1, "p.md:3")
    assert (entries["b"].entries()["c"].value, entries["b"].entries()["c"].line) == ("x", 5)


def test_a_value_below_its_key_is_found_at_the_key(tmp_path: Path) -> None:
    entries = read(tmp_path, "a:\n\n  long\nb:\n  - x\n  - y\n", "p.yaml").root.entries()
    assert entries["a"].line == 1
    assert entries["b"].line == 4
    items = entries["b"].value
    assert isinstance(items, list)
    assert [item.line for item in items] == [5, 6]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("12", 12),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_words_are_those_of_yaml_1_2(tmp_path: Path, word: str, value: object) -> None:
    node = read(tmp_path, f"a: {word}\n", "p.yaml").root.entries()["a"]
    found = node.value
    if word == "9" * 5000:  # no integer of that size is made; a float is, and is refused where it is used
        assert found == float("inf")
    else:
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["---\n---\n", "---\n# nothing\n---\n", "", "\n\n", "---\nnull\n---\n"])
def test_nothing_set_is_nothing_said(tmp_path: Path, text: str) -> None:
    document = read(tmp_path, text)
    assert document.root.entries() == {}
    assert document.warnings == ()


def test_markdown_without_front_matter_sets_nothing_and_says_so(tmp_path: Path) -> None:
    document = read(tmp_path, "# Title\n\nbudget_ceiling: 3\n")
    assert document.root.entries() == {}
    assert document.warnings == ("p.md:1: no YAML front matter (settings between two lines '---'), so nothing in it is read",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\na: 1\n", "p.md:1: the front matter that starts here has no end; close it with a line '---'"),
        ("---\na: b: c\n---\n", "p.md:2: not valid YAML: mapping values are not allowed in this context"),
        ("---\nx: 1\na:\n\tb: 1\n---\n", f"p.md:4: {TAB}"),
        ("---\nx: 1\ny: 2\nx: 3\n---\n", "p.md:4: 'x' is set twice, the first time on line 2"),
        ("---\na:\n  b: 1\n  'b': 2\n---\n", "p.md:4: 'b' is set twice, the first time on line 3"),
        ("---\n- a\n- b\n---\n", "p.md:2: keys with values are expected here ('budget_ceiling: 25')"),
        ("---\njust words\n---\n", "p.md:2: keys with values are expected here ('budget_ceiling: 25')"),
        ("---\na: !!python/object:os.system x\n---\n", f"p.md:2: {TAGS}"),
        ("---\na: *x\n---\n", "p.md:2: '*x' stands for nothing; '&x' has to come before it"),
        ("---\n? [a]\n: b\n---\n", "p.md:2: a key is one word, not a list or a mapping"),
        ("---\na: 1\nb: \x01\n---\n", "p.md:3: not valid YAML: control characters are not allowed"),
        (b"---\na: 1\n---\ncaf\xe9\n", "p.md:4: not UTF-8 text (byte 0xe9); save it as UTF-8"),
        ("---\na: 1\n---\n".encode("utf-16"), "p.md:1: not UTF-8 text (byte 0xff); save it as UTF-8"),
    ],
)  # fmt: skip
def test_each_fault_is_one_line_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert problem(tmp_path, text) == message


def test_several_documents_are_too_many(tmp_path: Path) -> None:
    assert (
        problem(tmp_path, "a: 1\n---\nb: 2\n", "p.yaml")
        == "p.yaml:2: a second YAML document starts here; the preferences are one"
    )


def test_an_alias_stands_for_its_anchor(tmp_path: Path) -> None:
    entries = read(tmp_path, "a: &x {b: 1}\nc: *x\n", "p.yaml").root.entries()
    assert entries["c"].entries()["b"].value == 1
    assert entries["c"].line == 2


def test_a_billion_laughs_end_early(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "more than 20000 values" in problem(tmp_path, bomb, "p.yaml")


@pytest.mark.parametrize("depth", [60, 900, 100_000])
def test_deep_nesting_ends_early(tmp_path: Path, depth: int) -> None:
    assert problem(tmp_path, "a: " + "[" * depth, "p.yaml") == "p.yaml:1: nested more than 40 deep"


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    assert problem(tmp_path, b"#" * (MAX_BYTES + 1), "p.yaml") == "p.yaml: larger than 1000 kB; preferences are a few lines"
    assert read(tmp_path, b"#" * MAX_BYTES, "p.yaml").root.entries() == {}


def test_a_directory_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(PreferencesError, match="x: is a directory; the preferences are a text file"):
        read_document(tmp_path, "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PreferencesError, match="x: is no ordinary file"):
        read_document(tmp_path / "pipe", "x")


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_document(tmp_path / "missing", "x") is None
    assert read_document(tmp_path / "file" / "below", "x") is None


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(PreferencesError, match="x: cannot be read: "):
        read_document(tmp_path / "loop", "x")
