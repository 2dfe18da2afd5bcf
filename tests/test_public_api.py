"""What the package promises by name, and every Python example of its documentation, executed."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepdown

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?P<before><!-- not run: [^\n]+ -->\s*\n)?^```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def snippets() -> Iterator[object]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for number, found in enumerate(_BLOCK.finditer(text), start=1):
            if not found["before"]:
                line = text.count("\n", 0, found.start("code"))
                # The lines before it are left empty, so that a traceback points into the page.
                yield pytest.param(page, "\n" * line + found["code"], id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("name", stepdown.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(stepdown, name) is not None
    assert name in dir(stepdown)


def test_names_are_listed_once_and_others_are_not_there() -> None:
    assert len(set(stepdown.__all__)) == len(stepdown.__all__) > 10
    with pytest.raises(AttributeError, match="no attribute 'Rooter'"):
        _ = stepdown.Rooter


def test_the_types_that_checkers_see_are_the_names_that_are_there() -> None:
    source = (ROOT / "src/stepdown/__init__.py").read_text(encoding="utf-8")

    imported = re.findall(r"^    from stepdown\.[\w.]+ import \w+ as (\w+)$", source, re.MULTILINE)

    assert sorted(imported) == sorted(stepdown.__all__)


def test_importing_the_package_imports_nothing_of_it() -> None:
    code = "import sys, stepdown; print([name for name in sys.modules if name.startswith('stepdown.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("page", "code"), list(snippets()))
def test_documentation_works(page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = shutil.copytree(ROOT / "examples" / "todo-api", tmp_path / "todo-api")
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STEPDOWN_HOME", str(tmp_path / ".stepdown"))
    monkeypatch.delenv("STEPDOWN_LEDGER", raising=False)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, str(page), "exec"), {"__name__": "__main__"})


def test_the_documentation_has_examples() -> None:
    assert list(snippets())
