import collections
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepdown.audit import sample
from stepdown.audit.history import gather
from stepdown.audit.price import Prices
from stepdown.catalog import Catalog
from stepdown.sessions.index import Index
from stepdown.sessions.read import collect
from stepdown.sessions.sources import NEXT_TO_PROJECTS, SOURCES


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    sample.write(folder)
    return folder


def records(home: Path, pattern: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for file in sorted(home.glob(pattern)) for line in file.read_bytes().splitlines())


def claude(home: Path) -> Iterator[dict[str, Any]]:
    return records(home, ".claude/projects/**/*.jsonl")


def answers(home: Path) -> dict[str, dict[str, Any]]:
    """Each answer of Claude Code once."""
    lines = (line for line in claude(home) if line["type"] == "assistant" and "requestId" in line)
    return {line["requestId"]: line for line in lines}


def test_is_the_same_every_time(home: Path, tmp_path: Path) -> None:
    sample.write(tmp_path)

    def contents(folder: Path) -> dict[str, bytes]:
        names = (str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        encoded = "".join(letter if letter.isalnum() else "-" for letter in str(folder))
        return {name.replace(encoded, ""): (folder / name).read_bytes().replace(str(folder).encode(), b"") for name in names}

    assert contents(tmp_path) == contents(home)


def test_the_environment_names_places_inside_the_folder_only(tmp_path: Path) -> None:
    environ = sample.write(tmp_path)

    assert environ["HOME"] == str(tmp_path)
    assert all(Path(place).is_relative_to(tmp_path) for place in environ.values())
    assert (Path(environ["CLAUDE_CONFIG_DIR"]) / "projects").is_dir()
    assert (Path(environ["CODEX_HOME"]) / "sessions").is_dir()


def test_covers_five_weeks_that_end_on_20_november_2026(home: Path) -> None:
    stamps = [
        line["timestamp"] for line in itertools.chain(claude(home), records(home, ".codex/**/*.jsonl")) if "timestamp" in line
    ]

    assert min(stamps) > "2026-10-19"
    assert max(stamps)[:10] == "2026-11-20"
    assert len({stamp[:10] for stamp in stamps}) > 20


def test_has_three_projects_of_which_gsd_carried_out_one(home: Path) -> None:
    cwds = {line["cwd"] for line in claude(home) if "cwd" in line}

    assert cwds == {str(home / name) for name in sample.PROJECTS}
    units = json.loads((home / "notes-app" / ".gsd" / "metrics.json").read_bytes())["units"]
    assert {unit["type"] for unit in units} == {"research-slice", "plan-slice", "execute-task", "complete-slice"}


def test_has_everything_that_a_reader_of_claude_code_must_understand(home: Path) -> None:
    lines = list(claude(home))

    assert {line["message"]["model"] for line in lines if line["type"] == "assistant"} == {
        "claude-opus-4-6",
        "claude-sonnet-4-6",
        "claude-haiku-4-5",
        "<synthetic>",
    }
    assert sum(line.get("isApiErrorMessage", False) for line in lines) == 3
    assert any(line.get("permissionMode") == "plan" for line in lines)
    assert any(line.get("subtype") == "compact_boundary" for line in lines)
    assert any(line.get("isSidechain") for line in lines)
    kinds = {json.loads(file.read_bytes())["agentType"] for file in home.glob(".claude/projects/**/*.meta.json")}
    assert kinds == {"Explore", "general-purpose", "code-reviewer"}


def test_resumed_and_forked_sessions_copy_answers_of_others(home: Path) -> None:
    sessions = collections.defaultdict(set)
    for line in claude(home):
        if "requestId" in line and not line["isSidechain"]:
            sessions[line["requestId"]].add(line["sessionId"])

    copied = {frozenset(found) for found in sessions.values() if len(found) > 1}

    assert len(copied) == 2


def test_requests_per_turn_are_plausible_and_prompts_grow(home: Path) -> None:
    prompts = []
    for line in answers(home).values():
        usage = line["message"]["usage"]
        prompts.append(usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"])
        kinds = usage["cache_creation"]
        assert kinds["ephemeral_1h_input_tokens"] + kinds["ephemeral_5m_input_tokens"] == usage["cache_creation_input_tokens"]

    assert len(prompts) > 1_500
    assert max(prompts) > 200_000
    assert min(prompts) >= 9_000


def test_the_counts_of_claude_code_are_the_sums_of_its_answers_and_a_title_here_and_there(home: Path) -> None:
    ours: dict[str, int] = collections.Counter()
    for line in answers(home).values():
        ours[line["message"]["model"]] += line["message"]["usage"]["output_tokens"]
    theirs: dict[str, int] = collections.Counter()
    sessions = 0
    for line in claude(home):
        if line["type"] == "cost-state":
            sessions += line["sessionId"][-1] in "08"
            for model, counts in line["modelUsage"].items():
                theirs[model] += counts["outputTokens"]
    theirs["claude-haiku-4-5"] -= 12 * sessions

    assert ours == theirs


def test_a_window_of_codex_runs_full_once(home: Path) -> None:
    limits = [
        line["payload"]["rate_limits"]
        for line in records(home, ".codex/sessions/2026/*/*/rollout-*.jsonl")
        if line["payload"].get("type") == "token_count"
    ]

    full = {limit["primary"]["resets_at"] for limit in limits if limit["rate_limit_reached_type"] == "primary"}
    assert len(full) == 1
    assert max(limit["secondary"]["used_percent"] for limit in limits) < 100


def test_is_read_without_trouble_as_the_work_it_tells_of(home: Path) -> None:
    environ = sample.write(home)
    with Index(None) as index:
        users = collect(SOURCES, environ, index=index)
        projects = collect(NEXT_TO_PROJECTS, environ, projects=[home / name for name in sample.PROJECTS], index=index)
    history = gather({**users.logs, **projects.logs}, Prices(Catalog.load()))

    assert set(history.troubles) <= {"units of which only sums are known"}
    assert history.duplicates > 50
    assert {(work.agent, work.turn.type) for work in history.units} == {
        ("claude", "execute-task"),
        ("claude", "plan-slice"),
        ("claude", "subagent/Explore"),
        ("claude", "subagent/code-reviewer"),
        ("claude", "subagent/compaction"),
        ("claude", "subagent/general-purpose"),
        ("codex", "execute-task"),
        ("gsd", "complete-slice"),
        ("gsd", "execute-task"),
        ("gsd", "plan-slice"),
        ("gsd", "research-slice"),
    }
    assert {work.turn.project for work in history.units} == {str(home / name) for name in sample.PROJECTS}
    assert [limit.window for limit in history.limits["claude"] if limit.reached] == ["5h"] * 3
    assert any(limit.reached for limit in history.limits["codex"])
    costs = [work.usd for work in history.units]
    assert None not in costs
    assert 300 < sum(cost or 0.0 for cost in costs) < 600
