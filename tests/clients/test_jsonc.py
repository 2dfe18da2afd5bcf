"""Values of JSON files, changed in their text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.clients import jsonc

KEYS = st.text(min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


@st.composite
def written(draw: st.DrawFn, said: Any = None) -> tuple[dict[str, Any], str]:
    """An object, and a text that says it: packed, or with any indentation, comments and trailing commas."""
    said = draw(OBJECTS)
    indent = draw(st.sampled_from([None, 0, 1, 2, 4, "\t"]))
    text = json.dumps(
        said, indent=indent, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([None, (",", ":")]))
    )
    before, after = draw(st.sampled_from([("", ""), ("// a comment {\n", "\n"), ("\ufeff", "\r\n"), ("/* { */ ", " // }")]))
    if said and draw(st.booleans()):
        text = text[:-1].rstrip() + "," + ("\n" if indent else "") + draw(st.sampled_from(["}", " // the end\n}", "/*,*/}"]))
    return said, before + text + after


def at(said: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        said = said[key]
    return said


@given(written())
def test_what_is_written_is_read(case: tuple[dict[str, Any], str]) -> None:
    said, text = case
    assert jsonc.parse(text) == said
    for key, value in said.items():
        raw = jsonc.get(text, (key,))
        assert raw is not None
        assert json.loads(raw) == value


@given(written(), st.lists(KEYS, min_size=1, max_size=3).map(tuple), st.text(max_size=8))
def test_a_value_is_put_and_nothing_else_changes(case: tuple[dict[str, Any], str], path: tuple[str, ...], value: str) -> None:
    said, text = case
    expected = json.loads(json.dumps(said))
    place = expected
    for key in path[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            with pytest.raises(ValueError, match="is not an object"):
                jsonc.put(text, path, json.dumps(value))
            return
    place[path[-1]] = value
    changed = jsonc.put(text, path, json.dumps(value))
    assert jsonc.parse(changed) == expected
    assert jsonc.get(changed, path) == json.dumps(value)
    assert list(jsonc.parse(changed)) == list(expected)


@given(written(), st.data())
def test_a_value_is_removed_and_nothing_else_changes(case: tuple[dict[str, Any], str], data: st.DataObject) -> None:
    said, text = case
    key = data.draw(st.sampled_from([*said, "not there at all"]))
    changed = jsonc.remove(text, (key,))
    assert jsonc.parse(changed) == {name: value for name, value in said.items() if name != key}
    if key not in said:
        assert changed == text


@given(written(), st.text(max_size=8))
def test_what_was_put_and_removed_again_leaves_the_same_said(case: tuple[dict[str, Any], str], value: str) -> None:
    said, text = case
    path = ("no such section", "inner")
    changed = jsonc.remove(jsonc.put(text, path, json.dumps(value)), path)
    assert jsonc.parse(changed) == {**said, "no such section": {}}
    assert jsonc.parse(jsonc.remove(changed, path[:1])) == said


@given(st.text(alphabet='{}[]",:/*\\\n 1atrue', max_size=30) | st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said = jsonc.parse(text)
    except ValueError:
        return
    assert isinstance(said, dict)
    assert jsonc.parse(jsonc.put(text, ("new key", "x"), "1"))["new key"]["x"] == 1 if "new key" not in said else True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "line 1: an object is expected"),
        ('{"a": 1,\n "b" 2}', "line 2: a colon"),
        ('{"a": 1\n\n "b": 2}', "line 3: a comma"),
        ('{"a": }', "line 1: a value"),
        ("{a: 1}", "line 1: a key in double quotes"),
        ('{"a": 1}\n{}', "line 2: there is something behind"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "nested too deeply"),
        ('{"a": nonsense}', "malformed"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        jsonc.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '{\n  "env": {\n    "A": 1\n  }\n}\n'),
        ('{\n    "model": "x"\n}\n', '{\n    "model": "x",\n    "env": {\n        "A": 1\n    }\n}\n'),
        ('{"env": {"B": 2}}', '{"env": {"B": 2, "A": 1}}'),
        ('{\n\t"env": {\n\t\t"B": 2 // two\n\t}\n}', '{\n\t"env": {\n\t\t"B": 2, // two\n\t\t"A": 1\n\t}\n}'),
    ],
)
def test_it_is_written_as_its_neighbours_are(text: str, expected: str) -> None:
    assert jsonc.put(text, ("env", "A"), "1") == expected
