import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway import edit
from stepdown.gateway.wire import Unreadable

SPACE = st.text(alphabet=" \t\n\r", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def literals(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON, with space wherever there may be some, its characters escaped or not."""
    if isinstance(value, dict):
        pairs = [f"{draw(SPACE)}{draw(literals(key))}{draw(SPACE)}:{draw(literals(one))}" for key, one in value.items()]
        text = "{" + ",".join(pairs) + draw(SPACE) + "}"
    elif isinstance(value, list):
        text = "[" + ",".join([draw(literals(one)) for one in value]) + draw(SPACE) + "]"
    else:
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    return draw(SPACE) + text + draw(SPACE)


@st.composite
def bodies(draw: st.DrawFn, *, model: bool = False) -> tuple[bytes, dict[str, Any]]:
    """The bytes of an object, and the object."""
    value = draw(st.dictionaries(st.text(max_size=8), VALUES, max_size=6))
    if model:
        at = draw(st.integers(0, len(value)))
        pairs = [(key, one) for key, one in value.items() if key != "model"]
        value = dict([*pairs[:at], ("model", draw(st.text(max_size=20))), *pairs[at:]])
    return draw(literals(value)).encode(errors="surrogatepass"), value


@given(bodies())
def test_every_value_is_found_where_it_stands(case: tuple[bytes, dict[str, Any]]) -> None:
    body, value = case
    found = edit.spans(body)
    assert {key: json.loads(body[start:end]) for key, (start, end) in found.items()} == value
    assert list(found) == list(value)


@given(bodies(model=True), st.text(max_size=20))
def test_a_replaced_value_leaves_every_other_byte_as_it_was(case: tuple[bytes, dict[str, Any]], name: str) -> None:
    body, value = case
    start, end = edit.spans(body)["model"]
    new = json.dumps(name).encode()
    changed = edit.replace(body, {"model": new}, edit.spans(body))
    assert changed == body[:start] + new + body[end:]
    assert json.loads(changed) == value | {"model": name}


@given(bodies(), st.data())
def test_values_are_changed_added_and_removed_together(case: tuple[bytes, dict[str, Any]], data: st.DataObject) -> None:
    body, value = case
    keys = st.sampled_from([*value, "model", "max_tokens"])
    changes = data.draw(st.dictionaries(keys, st.none() | st.integers(), max_size=5))
    where = edit.spans(body)
    changed = edit.replace(body, {key: None if new is None else str(new).encode() for key, new in changes.items()}, where)
    kept = {key: one for key, one in value.items() if key not in changes}
    assert json.loads(changed) == kept | {key: new for key, new in changes.items() if new is not None}
    again = edit.spans(changed)
    for key in kept:
        assert changed[slice(*again[key])] == body[slice(*where[key])]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({}, b'{ "a" : 1 , "b":2,\n"c":3 }'),
        ({"b": b"[]"}, b'{ "a" : 1 , "b":[],\n"c":3 }'),
        ({"a": None}, b'{ "b":2,\n"c":3 }'),
        ({"b": None}, b'{ "a" : 1,\n"c":3 }'),
        ({"c": None}, b'{ "a" : 1 , "b":2 }'),
        ({"a": None, "c": b"7"}, b'{ "b":2,\n"c":7 }'),
        ({"a": None, "b": None, "c": None}, b"{ }"),
        ({"z": b"0"}, b'{"z":0, "a" : 1 , "b":2,\n"c":3 }'),
        ({"z": b"0", "a": None, "b": None, "c": None}, b'{"z":0 }'),
        ({"z": None}, b'{ "a" : 1 , "b":2,\n"c":3 }'),
    ],
)
def test_commas_and_space_go_with_what_goes(changes: dict[str, bytes | None], changed: bytes) -> None:
    body = b'{ "a" : 1 , "b":2,\n"c":3 }'
    assert edit.replace(body, changes, edit.spans(body)) == changed


def test_into_an_empty_object_a_key_goes_without_a_comma() -> None:
    assert edit.replace(b" { } ", {"a": b"1", "b": b"2"}, {}) == b' {"a":1,"b":2 } '


def test_escapes_in_a_key_do_not_hide_it() -> None:
    body = rb'{"mod\u0065l":"x","\"":{"model":"y"},"\\":1}'
    assert edit.replace(body, {"model": b'"z"'}, edit.spans(body)) == rb'{"mod\u0065l":"z","\"":{"model":"y"},"\\":1}'


def test_what_no_decoder_keeps_is_kept() -> None:
    body = b'{"n":12345678901234567890123,"x":1e999999,"y":1.10,"model":"m","s":"\\/\xc3\xa9\\u00e9\xff"}'
    assert edit.replace(body, {"model": b'"k"'}, edit.spans(body)) == body.replace(b'"m"', b'"k"')


def test_deep_nesting_is_passed_over() -> None:
    body = b'{"a":' + b"[" * 300 + b"]" * 300 + b',"model":"m"}'
    assert edit.spans(body)["model"] == (len(body) - 4, len(body) - 1)


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\udE00", rb"x\uD83Dy\ude00"])
def test_half_a_character_is_no_reason_to_refuse(half: bytes) -> None:
    body = b'{"text":"cut here: ' + half + b'","model":"m"}'
    values, where = edit.members(body)
    assert values["model"] == b'"m"'
    assert rb"\ufffd" in values["text"]
    assert edit.replace(body, {"model": b'"k"'}, where) == body.replace(b'"m"', b'"k"')


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        rb'{"model":"a","mod\u0065l":"b"}',
        # A walk by lengths alone would end well, and take the 2 inside the last value for the 22.
        b'{"a":1,"b":22,"a":{"c":"x","b"      :2}}',
    ],
)
def test_a_key_that_comes_twice_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable, match="twice") as problem:
        edit.spans(body)
    assert problem.value.status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"a":1', "not valid JSON"),
        (b'{"a":1} x', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":Infinity}', "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ('{"a":1}'.encode("utf-16"), "not valid JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deeply"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b"null", "object"),
    ],
)
def test_what_is_not_an_object_is_refused_in_one_line(body: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words) as problem:
        edit.spans(body)
    assert "\n" not in str(problem.value)
