"""What the practice model writes: believable files that say where they came from, and a harmless line in files that exist."""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Final

BY: Final = "Written by the practice provider (no model was asked)."

_LINE_COMMENTS: Final = {
    "#": ("py", "sh", "bash", "rb", "pl", "r", "yaml", "yml", "toml", "cfg", "ini", "conf", "mk", "tf", "ex", "exs", "nix"),
    "//": (
        *("js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "c", "h", "cc", "cpp", "hpp", "cs", "java", "kt", "kts"),
        *("go", "rs", "swift", "scala", "dart", "php", "zig", "proto", "scss", "less", "jsonc", "groovy", "gradle"),
    ),
    "--": ("sql", "lua", "hs", "elm", "ada"),
    ";": ("clj", "cljs", "el", "lisp", "scm", "asm"),
    "%": ("tex", "erl"),
}
_BLOCK_COMMENTS: Final = {
    "md": ("<!--", "-->"),
    "html": ("<!--", "-->"),
    "xml": ("<!--", "-->"),
    "svg": ("<!--", "-->"),
    "vue": ("<!--", "-->"),
    "svelte": ("<!--", "-->"),
    "css": ("/*", "*/"),
}
_PREFIX: Final = {extension: mark for mark, extensions in _LINE_COMMENTS.items() for extension in extensions}
_NAMED: Final = {"Makefile": "#", "Dockerfile": "#", ".gitignore": "#", ".env": "#"}


def comment(path: str, words: str) -> str | None:
    """`words` as a comment in the language of `path`, one line; None where its language has no comments (JSON, images)."""
    name = PurePosixPath(path).name
    extension = name.rpartition(".")[2].lower()
    if extension in _BLOCK_COMMENTS:
        opening, closing = _BLOCK_COMMENTS[extension]
        return f"{opening} {words} {closing}"
    prefix = _NAMED.get(name) or _PREFIX.get(extension)
    return f"{prefix} {words}" if prefix else None


def addition(path: str, unit: str) -> str | None:
    """The line that is added to a file that exists; None where nothing harmless can be added."""
    return comment(path, f"{unit or 'A unit'} passed here. {BY}")


def fresh(path: str, unit: str) -> str:
    """The whole of a new file.

    Args:
        path: where it goes; its name decides what it is.
        unit: what the work is called, for headings; may be "".
    """
    name = PurePosixPath(path).name
    for pattern, write in _DOCUMENTS:
        if pattern.search(name):
            return write(path, unit or "this unit")
    extension = name.rpartition(".")[2].lower()
    if extension == "md":
        return f"# {_spoken(name)}\n\n{BY}\n\nIt stands where {unit or 'a unit'} promised a document.\n"
    if extension == "json":
        return '{"practice": true}\n'
    return (comment(path, BY) or BY) + "\n"


def companions(path: str) -> dict[str, str]:
    """Files that belong to one that is written: a slice plan brings the plans of its tasks."""
    if not _SLICE_PLAN.search(PurePosixPath(path).name):
        return {}
    tasks = PurePosixPath(path).parent / "tasks"
    return {str(tasks / f"{task}-PLAN.md"): _task_plan(path, task, title) for task, title in _TASKS.items()}


_TASKS: Final[Mapping[str, str]] = {"T01": "Write down what is there", "T02": "Document the result"}
_ID: Final = re.compile(r"(?<![A-Za-z0-9])([MST]\d+)(?![0-9])")
_SLICE_PLAN: Final = re.compile(r"^S\d+[^/]*-PLAN\.md$|^PLAN\.md$", re.IGNORECASE)


def _ids(path: str) -> dict[str, str]:
    """The milestone, slice and task that a path speaks of, the innermost of each: ``{"M": "M001", "S": "S02"}``."""
    return {found[0]: found for found in _ID.findall(path)}


def _spoken(name: str) -> str:
    return name.rpartition(".")[0].replace("-", " ").replace("_", " ").strip() or name


def _promised(path: str, task: str) -> str:
    """Where a practice task writes: beside nothing of the user's."""
    ids = _ids(path)
    return f"practice/{ids.get('M', 'M000')}-{ids.get('S', 'S00')}-{task}.md".lower()


def _slice_plan(path: str, unit: str) -> str:
    ids = _ids(path)
    entries = "\n".join(
        f"- [ ] **{task}: {title}** `est:20m`\n"
        f"  - Why: {BY}\n"
        f"  - Files: `{_promised(path, task)}`\n"
        f"  - Do: {title.lower()}, in one short page.\n"
        f"  - Done when: the page exists.\n"
        for task, title in _TASKS.items()
    )
    return (
        f"# {ids.get('S', 'S00')}: Practice slice\n\n**Goal:** What {unit} set out to plan, in two small tasks.\n"
        f"**Demo:** Both pages can be read.\n\n## Must-Haves\n\n- Both pages exist.\n\n## Tasks\n\n{entries}\n"
        f"## Files Likely Touched\n\n" + "".join(f"- `{_promised(path, task)}`\n" for task in _TASKS)
    )


def _task_plan(path: str, task: str, title: str) -> str:
    return (
        f"---\nestimated_steps: 2\nestimated_files: 1\n---\n\n# {task}: {title}\n\n## Description\n\n{BY}\n\n"
        f"## Steps\n\n1. Read what the slice is about.\n2. {title}, in one short page.\n\n"
        f"## Expected Output\n\n- `{_promised(path, task)}` — one short page\n"
    )


def _summary(path: str, unit: str) -> str:
    ids = _ids(path)
    own, parent = [*(ids[kind] for kind in "TSM" if kind in ids), "M000", "M000"][:2]
    return (
        f"---\nid: {own}\nparent: {parent}\nmilestone: {ids.get('M', 'M000')}\n"
        f"blocker_discovered: false\nverification_result: untested\n---\n\n# {own}: {unit}\n\n"
        f"**{BY}**\n\n## What Happened\n\nThe files that were asked for were written; nothing else was touched.\n\n"
        f"## Deviations\n\nNone.\n"
    )


def _research(path: str, unit: str) -> str:
    own = _ids(path).get("S") or _ids(path).get("M", "M000")
    return (
        f"# {own} Research\n\n{BY}\n\n## Findings\n\n- {unit}: the code was not read; this is practice.\n"
        f"- Nothing stands in the way of a small plan.\n\n## Recommendation\n\nTwo small tasks.\n"
    )


def _roadmap(path: str, unit: str) -> str:
    own = _ids(path).get("M", "M000")
    return (
        f"# {own}: Practice milestone\n\n**Vision:** {unit}. {BY}\n\n## Slices\n\n"
        "- [ ] **S01: First steps** `risk:low` `depends:[]`\n  > After this: there is something to read.\n"
        "- [ ] **S02: The rest** `risk:low` `depends:[S01]`\n  > After this: all of it can be read.\n"
    )


def _verdict(path: str, unit: str) -> str:
    own = _ids(path).get("S") or _ids(path).get("M", "M000")
    return (
        f"---\nid: {own}\nverdict: pass\nremediation_round: 0\n---\n\n# {own}: {unit}\n\n{BY}\n\nNothing was really checked.\n"
    )


_DOCUMENTS: Final[tuple[tuple[re.Pattern[str], Callable[[str, str], str]], ...]] = (
    (re.compile(r"SUMMARY\.md$", re.IGNORECASE), _summary),
    (re.compile(r"(VALIDATION|UAT-RESULT|ASSESSMENT)\.md$", re.IGNORECASE), _verdict),
    (re.compile(r"RESEARCH\.md$", re.IGNORECASE), _research),
    (re.compile(r"ROADMAP\.md$", re.IGNORECASE), _roadmap),
    (_SLICE_PLAN, _slice_plan),
    (re.compile(r"^T\d+.*PLAN\.md$", re.IGNORECASE), lambda path, _: _task_plan(path, _ids(path).get("T", "T01"), "Practice")),
)
