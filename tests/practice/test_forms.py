import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.practice.forms import filled

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "properties", "items", "$ref", "anyOf", "enum", "minItems"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}, {"a": "practice", "b": 1}),
        ({"properties": {"a": {"enum": ["x", "y"]}, "b": {"const": 7}}}, {"a": "x", "b": 7}),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": ["null", "number"]}, 1.0),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"$defs": {"P": {"properties": {"n": {"type": "string"}}}}, "$ref": "#/$defs/P"}, {"n": "practice"}),
    ],
)
def test_a_form_is_filled_by_its_schema(schema: dict[str, object], value: object) -> None:
    assert filled(schema) == value


def test_a_schema_that_refers_to_itself_comes_to_an_end() -> None:
    tree = {"$defs": {"T": {"properties": {"next": {"$ref": "#/$defs/T"}}}}, "$ref": "#/$defs/T"}
    assert "next" in filled(tree)


@given(st.dictionaries(st.sampled_from(["type", "properties", "items", "$ref", "anyOf", "$defs"]), JSON))
def test_whatever_comes_is_filled(schema: dict[str, object]) -> None:
    filled(schema)
