import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.practice import shell

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
PATHS = TEXT.filter(bool)


@given(st.sampled_from(("write_file", "append_file")), PATHS, TEXT)
def test_a_command_is_understood_again(name: str, path: str, text: str) -> None:
    values = {"path": path, "content": text}
    line = shell.command(name, values)
    assert shell.understood(line) == (name, values)
    assert shell.command_in(shell.source(line)) == line


@given(PATHS)
def test_so_is_the_reading_of_a_file(path: str) -> None:
    assert shell.understood(shell.command("read_file", {"path": path})) == ("read_file", {"path": path})


@given(TEXT)
def test_other_commands_and_sources_are_not_understood(text: str) -> None:
    assert shell.understood(f"ls {text}") is None
    assert shell.command_in(f"text({text!r})") == ""


@pytest.mark.parametrize("path", ["a.txt", "deep/er/it's; $(touch no).txt", "-dash", "a b.txt"])
def test_the_commands_do_what_the_tools_do(path: str, tmp_path: Path) -> None:
    def run(name: str, **values: str) -> tuple[str, int]:
        line = shell.command(name, {"path": path, **values})
        done = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout, done.returncode

    said, code = run("read_file")
    assert shell.result(f"Process exited with code {code}\nOutput:\n{said}") == (said, True)
    assert run("write_file", content="one\n%s \\n 'two'") == ("", 0)
    assert run("append_file", content="\nthree\n") == ("", 0)
    assert run("read_file") == ("one\n%s \\n 'two'\nthree\n", 0)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("shown", "result"),
    [
        ("Wall time: 0.1 s\nProcess exited with code 0\nOutput:\nfine\n", ("fine\n", False)),
        ("Process exited with code 1\nOutput:\ncat: x: no\n", ("cat: x: no\n", True)),
        ('Script completed\nOutput:\n{"exit_code": 0, "output": "fine"}', ("fine", False)),
        ('Script completed\nOutput:\n{"exit_code": 2, "output": "no"}', ("no", True)),
        ("Script failed\nOutput:\nTypeError: x", ("TypeError: x", True)),
        ("exec_command failed: sandbox", ("exec_command failed: sandbox", True)),
    ],
)
def test_what_codex_tells_of_a_command(shown: str, result: tuple[str, bool]) -> None:
    assert shell.result(shown) == result
