"""Which texts are commands, and what their exit codes can say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.dispatch import shell

INSTALLED = frozenset({"import", "id", "file", "mytool", "select", "type"})


def is_command(text: str) -> bool:
    return shell.is_command(text, INSTALLED.__contains__)


@pytest.mark.parametrize(
    "text",
    [
        "npm test",
        "pytest",
        "cd src-tauri && cargo test --lib",
        "test -f a.md && test -f b.md",
        "! grep -q old README.md",
        "FOO=1 npm run build",
        "./check",
        "./scripts/verify.sh --all",
        "scripts/verify.sh --all",
        "bash scripts/verify.sh",
        'node -e "process.exit(0)"',
        'rg "a b" src/',
        "[ -f x ]",
        "mytool --check",
        "python -m mist_mcp.server --help",
    ],
)
def test_commands(text: str) -> None:
    assert is_command(text)


@pytest.mark.parametrize(
    "text",
    [
        "src/webview/index.ts",
        "scripts/verify.sh",
        "foo()",
        "WorkerProgress",
        "test",
        "id",
        "node",
        "test coverage",
        "import json",
        "import { x } from './y'",
        "select * from users",
        "type A = 'b'",
        "mytool works",
        "unknown --flag",
        "--minify",
        "as any",
        "id: Option<String>",
        "@keyframes spin",
        "GET /api/v1",
        "src/a.ts src/b.ts",
        "",
        "   ",
        "!",
        "A=b",
    ],
)
def test_what_is_no_command(text: str) -> None:
    assert not is_command(text)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("npm run dev", "does not end"),
        ("yarn start", "does not end"),
        ("npx vitest --watch", "does not end"),
        ("tail -f log", "does not end"),
        ("docker compose up", "does not end"),
        ("python -m http.server", "does not end"),
        ("rm -rf build", "changes things"),
        ("git push origin main", "changes things"),
        ("cd x && sudo make", "changes things"),
        ("npm publish", "changes things"),
        ('python -c "..."', "filled in"),
        ("python run.py <slug>", "filled in"),
        ("python run.py [file]", "filled in"),
        ("diff a/{name}.txt b", "filled in"),
        ("wc -l a.ts", "only shows"),
        ("rg foo | wc -l", "only shows"),
        ("npm test; echo done", "only shows"),
        ("npm test || true", "only shows"),
        ('grep "a', "not complete"),
    ],
)
def test_what_is_left_out_and_why(command: str, reason: str) -> None:
    assert reason in shell.why_left_out(command)


@pytest.mark.parametrize(
    "command",
    [
        "npm run build",
        "npm run dev-check",
        "npx vitest --watch=false",
        "docker compose up -d",
        "go test ./...",
        "grep -q 'id: Option<String>' a.rs",
        "test -f a && echo OK",
        "wc -l a | awk '{exit !($1 <= 500)}'",
        "diff a <(sort b)",
        "ls a && npm test",
        "python -c \"print(f'{count} [file]')\"",
        "rg '<div>' src/",
        "awk '{print}' a && test -n \"${HOME}\"",
        "find . -name x -exec test -s {} ;",
    ],
)
def test_what_is_run(command: str) -> None:
    assert shell.why_left_out(command) == ""


def test_a_last_tail_is_cut_off_since_its_exit_code_would_hide_the_others() -> None:
    assert shell.trimmed("npm test 2>&1 | tail -5") == "npm test 2>&1"
    assert shell.trimmed("cargo test | head -n 20 ") == "cargo test"
    assert shell.trimmed("tail -5 log | grep -q ok") == "tail -5 log | grep -q ok"


@pytest.mark.parametrize(
    ("command", "search"),
    [
        ("rg x src/", True),
        ("git grep x", True),
        ("cd a && grep -c x b | grep y", True),
        ("! grep x a", False),
        ("grep x a | awk 1", False),
        ("git status", False),
        ("npm test && grep x a", True),
    ],
)
def test_a_search_is_one_whose_last_program_searches(command: str, search: bool) -> None:
    assert shell.is_search(command) is search


def test_only_what_plain_sh_lacks_needs_bash() -> None:
    assert shell.needs_bash("diff a <(sort b)")
    assert shell.needs_bash("[[ -f a ]]")
    assert not shell.needs_bash("awk '{print $1}' < a")


@given(st.text(max_size=80))
def test_no_text_is_too_odd(text: str) -> None:
    assert shell.is_command(text, lambda _: True) in {True, False}
    assert isinstance(shell.why_left_out(text), str)
    assert shell.trimmed(text) in text
    assert shell.is_search(text) in {True, False}
    assert shell.is_complete(text) in {True, False}
