"""Values of TOML and YAML files, changed in their text."""

import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stepdown.clients.lines import Toml, Yaml

TOML = [
    "",
    'model = "x"\n',
    "# hi\n",
    "[features]\na = true\n",
    "[features] # f\na = true\n[other]\nb = 1",
    "[[list]]\nx = 1\n\n",
    "\n",
]
NAMES = st.sampled_from(["alpha", "beta", "gamma"])


@given(st.sampled_from(TOML), NAMES, st.sampled_from(["features", "made"]), st.text(alphabet="abc :/.", max_size=9))
def test_a_toml_value_is_put_and_removed(text: str, name: str, table: str, value: str) -> None:
    for path in ((name,), (table, name)):
        changed = Toml.put(text, path, f'"{value}"')
        expected: Any = tomllib.loads(text)
        (expected if len(path) == 1 else expected.setdefault(table, {}))[name] = value
        assert Toml.parse(changed) == expected
        assert Toml.get(changed, path) == f'"{value}"'
        assert Toml.get(Toml.put(changed, path, "1"), path) == "1"
        removed = Toml.remove(changed, path)
        if len(path) == 2 and table not in tomllib.loads(text):
            removed = Toml.remove(removed, (table,))
        assert tomllib.loads(removed) == tomllib.loads(text)
        assert Toml.get(removed, path) is None


@given(st.sampled_from(["", "a: 1\n", "# hi\n---\na: 1", "a:\n  - 1\n  - 2"]), NAMES, st.text(alphabet="abc :/.", max_size=9))
def test_a_yaml_value_is_put_and_removed(text: str, name: str, value: str) -> None:
    changed = Yaml.put(text, (name,), f'"{value}"')
    before = yaml.safe_load(text) or {}
    assert Yaml.parse(changed) == {**before, name: value}
    assert Yaml.get(changed, (name,)) == f'"{value}"'
    assert Yaml.parse(Yaml.remove(changed, (name,))) == before
    assert Yaml.get(Yaml.put(changed, (name,), "1"), (name,)) == "1"


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", "a: 1\na b\n", "!!python/object:os.system {}\n", "\x00"])
def test_what_is_not_a_mapping_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Yaml.parse(text)
    with pytest.raises(ValueError, match=r"."):
        Toml.parse(text)
