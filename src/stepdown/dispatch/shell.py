"""Shell text as plans write it → which programs it starts, and what its exit code can say. Pure, and never an exception."""

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Final

from stepdown.plan_text import words

PROGRAMS: Final = words(
    "ansible-lint ant astro ava awk bandit bash bats bazel biome black buf bun bundle cargo clippy cmake cmp composer coverage "
    "ctest curl cypress dart deno diff docker dotnet elixir eslint find flake8 flutter gcc gh ghc git go golangci-lint gradle "
    "gradlew grep egrep fgrep head helm hugo isort jest jq julia just kubectl lein make markdownlint mise mix mocha mvn "
    "mypy next ninja node nox npm npx nx perl php phpstan phpunit playwright pnpm pnpx poetry prettier prisma psql pyright "
    "pytest python python3 rails rake rg rspec rubocop ruby ruff rustc rustfmt sbt sed sh shellcheck sqlite3 stack stat "
    "stylelint svelte-check swift terraform test tflint tox tsc tsx turbo ty uv uvx vendor/bin/phpunit vite vitest vue-tsc wc "
    "webpack xcodebuild xmllint yamllint yarn zig zsh"
)
"""Programs that plans verify with; these are recognised whether or not they are installed."""

_ALONE: Final = words("ctest jest just make mypy ninja nox phpunit pytest rake rspec tox tsc vitest")
"""Those that are a whole command by themselves; any other single word in backticks is a name (`test`, `id`, `node`)."""
_WORDS_OF_CODE: Final = words(
    "as assert class const def else export for from function if import in let return select type var while"
)
"""Words that begin a line of code, some of which are also names of programs."""
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_.+/~-]{1,200}")
_ASSIGNED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_SCRIPT: Final = re.compile(r"\.{1,2}/(?:[\w.-]+/)*[\w-]+(?:\.(?:sh|bash))?|[\w./-]+\.(?:sh|bash)", re.ASCII)
_LIKE_ARGUMENTS: Final = re.compile(r"\s-{1,2}[A-Za-z]|[./\"'|&;<>$*]")
_PREFIXES: Final = frozenset({"!", "(", "{", "time", "env", "command", "exec", "nice"})
_OPERATORS: Final = frozenset({"&&", "||", ";", "|", "&", "|&", ";;"})
_SEARCHES: Final = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "ack"})
_SHOWS: Final = words(
    "cat clear date echo env file head less ls more printenv printf pwd sleep sort tail tee tree true uniq wc which : column"
)
_OPENS: Final = frozenset({"cd", "pushd", "export", "set"})
_TRIMMED: Final = re.compile(r"\s*\|\s*(?:tail|head)(?:\s+-[-\w=]+|\s+\d+)*\s*\Z")
_BASH: Final = re.compile(r"<\(|>\(|\[\[|pipefail|\$'|<<<|&>|\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}|\bsource\s")

_LEFT_OUT: Final = (
    (
        re.compile(
            r"\b(?:npm|pnpm|yarn|bun)\s+(?:run\s+)?(?:\S+:)?(?:dev|start|serve|watch|preview|storybook)\b(?!-)"
            r"|--watch(?:All)?\b(?!=false)|\b(?:flask\s+run|rails\s+s(?:erver)?|runserver|uvicorn|gunicorn|nodemon|http\.server)\b"
            r"|\b(?:next|tauri|astro|wrangler|vite|nuxt|remix)\s+(?:dev|preview)\b|\bvite\s*\Z|\bcargo\s+watch\b|\btail\s+-[fF]\b"
            r"|\b(?:ng|jekyll|mkdocs|hugo)\s+serve(?:r)?\b|\bdocker[ -]compose\s+up\b(?!.*\s(?:-d|--detach|--wait)\b)"
            r"|^(?:vim?|nano|emacs|less|top|htop|ssh|watch|code|open|xdg-open|jupyter|claude|codex|gdb)\b"
        ),
        "does not end by itself",
    ),
    (
        re.compile(
            r"^(?:sudo|rm|mv|dd|kill|pkill|killall|shutdown|reboot|chown)\b|[;&|]\s*(?:sudo|rm\s+-\w*r)"
            r"|\bgit\s+(?:push|commit|reset|checkout|switch|restore|stash|clean|merge|rebase|pull|tag)\b"
            r"|\b(?:npm|pnpm|yarn|cargo|poetry|twine|vsce|gh\s+release)\s+(?:publish|upload|create)\b|\bterraform\s+(?:apply|destroy)\b"
        ),
        "changes things, and a check only looks",
    ),
)

_QUOTED: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", re.DOTALL)
_ELIDED: Final = re.compile(r"[\"'](?:\.\.\.|\u2026)[\"']")
_TO_FILL_IN: Final = re.compile(
    r"(?<!/)\.\.\.(?![/\w])|\u2026|(?<!\w)<[A-Za-z][\w -]*>|(?<![\w$]){[a-z_]+}|\s\[[a-z_]+\]\s*\Z|\bpath/to/|\bYOUR_|{{"
)


def starts(command: str) -> str:
    """The program that a command starts first, behind assignments, ``!`` and the like; "" where none can be told."""
    for word in command.split()[:8]:
        bare = word.lstrip("({!") if word not in _PREFIXES else ""
        if bare and not _ASSIGNED.fullmatch(bare):
            return bare
    return ""


def is_command(text: str, is_program: Callable[[str], bool]) -> bool:
    """Whether a text in backticks is a command, and not a path, a name or a line of code.

    Args:
        text: what stands between the backticks.
        is_program: whether a word names a program of this machine.
    """
    program = starts(text)
    alone = len(text.split()) == 1
    if not _PLAIN_WORD.fullmatch(program) and program != "[":
        return False
    if program.startswith("./") or (not alone and "/" in program):
        return _SCRIPT.fullmatch(program) is not None or program in PROGRAMS
    if alone:
        return program in _ALONE
    if program in _WORDS_OF_CODE:
        return False
    if program in PROGRAMS or program in _OPENS or program == "[":
        # "make targets" and "test coverage" are prose; "make test" is not to be told from them, and make is the rule.
        return program not in {"test", "find", "file", "head", "set", "export", "next", "stack", "just"} or bool(
            _LIKE_ARGUMENTS.search(text)
        )
    return bool(_LIKE_ARGUMENTS.search(text)) and is_program(program)


def trimmed(command: str) -> str:
    """The command without a last ``| tail -5``: its exit code would be tail's, and only the end of an output is kept anyway."""
    return _TRIMMED.sub("", command.strip())


def why_left_out(command: str) -> str:
    """Why a command is not to be run as a check; "" where nothing speaks against it."""
    for pattern, reason in _LEFT_OUT:
        if pattern.search(command):
            return reason
    if _ELIDED.search(command) or _TO_FILL_IN.search(_QUOTED.sub("", command)):  # within quotes they may be meant
        return "has something to be filled in"
    parts = list(pieces(command))
    if not parts:
        return "is not complete"
    operator, last = parts[-1]
    shows = last in _SHOWS and operator in {"", "|", ";", "||"}
    if shows or all(program in _SHOWS | _OPENS for _, program in parts):
        return "only shows something, and its exit code says nothing of the work"
    return ""


def is_complete(text: str) -> bool:
    """Whether the quotes are closed and nothing continues on the next line."""
    try:
        tokens = shlex.split(text, comments=True)
    except ValueError:
        return False
    return bool(tokens) and not text.rstrip().endswith(("\\", "&&", "||", "|"))


def pieces(command: str) -> Iterator[tuple[str, str]]:
    """The programs of a command, each with the operator before it; nothing where the quotes are not closed."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.whitespace = " \t\r"
    try:
        tokens = list(lexer)
    except ValueError:
        return
    operator, wanted = "", True
    for token in tokens:
        if token in _OPERATORS or not token.strip("\n"):
            operator, wanted = token if token.strip() else ";", True
        elif wanted and token not in _PREFIXES and not _ASSIGNED.fullmatch(token):
            yield operator, token.rpartition("/")[2]
            wanted = False


def is_search(command: str) -> bool:
    """Whether its exit code is that of a search: 0 found, 1 not found."""
    parts = list(pieces(command))
    if not parts or command.lstrip().startswith("!"):
        return False
    return parts[-1][1] in _SEARCHES or (parts[-1][1] == "git" and re.search(r"\bgit\s+grep\b", command) is not None)


def is_quiet(command: str) -> bool:
    """Whether the search prints nothing, so that what it "returns" is its exit code."""
    return re.search(r"\s(?:-[a-zA-Z]*q[a-zA-Z]*|--quiet|--silent)\b", command) is not None


def needs_bash(command: str) -> bool:
    """Whether it uses what plain ``sh`` does not have."""
    return _BASH.search(command) is not None
