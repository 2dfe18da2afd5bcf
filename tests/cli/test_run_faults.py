"""`stepdown run` under bad conditions: one clear line each, the documented exit code, and nothing lost."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stage import git, make_plan

from stepdown.ledger import Record, open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

Said = subprocess.CompletedProcess[str]
Run = Callable[..., Said]

TIERS = {"light": "claude-haiku-4-5", "standard": "claude-sonnet-4-6"}
PREFERENCES: Mapping[str, Any] = {
    "models": {"default": {"model": "claude-opus-4-6", "fallbacks": ["claude-opus-4-7"]}},
    "dynamic_routing": {"enabled": True, "tier_models": TIERS},
}
SLICE = ".gsd/milestones/M001/slices/S01"
BOX = "- [{}] **T0{}:"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """M001/S01 with two light tasks, in git."""
    return Path(make_plan(tmp_path).project)


@pytest.fixture(scope="module")
def serving() -> Iterator[PracticeProvider]:
    serving = PracticeProvider(latency=0).start()
    yield serving
    serving.stop()


@pytest.fixture
def provider(serving: PracticeProvider) -> PracticeProvider:
    """A practice provider in a thread, with nothing wrong yet."""
    serving.faults.clear()
    return serving


def prefer(project: Path, **keys: Any) -> None:
    (project / "stepdown.yaml").write_text(json.dumps({**PREFERENCES, **keys}))


def records(ledger_file: Path) -> list[Record]:
    """What is in the ledger, the oldest first; every attempt has ended."""
    with open_ledger(f"sqlite:{ledger_file}") as ledger:
        assert ledger.unfinished() == []
        return list(ledger.records())[::-1]


def ends(ledger_file: Path) -> list[tuple[str, str | None]]:
    """The model and the failure of every attempt."""
    told = []
    for record in records(ledger_file):
        assert record.outcome is not None
        told.append((record.attempt.model.partition("/")[2].removeprefix("claude-"), record.outcome.failure))
    return told


def evidence(ledger_file: Path) -> str:
    return "\n".join(line for record in records(ledger_file) if record.outcome for line in record.outcome.evidence)


def ticked(project: Path) -> list[int]:
    text = (project / SLICE / "S01-PLAN.md").read_text()
    return [number for number in (1, 2) if BOX.format("x", number) in text]


def nothing_unnamed(project: Path, ledger_file: Path) -> None:
    """Every ref of ours is one that the ledger names."""
    refs = git(project, "for-each-ref", "--format=%(refname)", "refs/stepdown").split()
    assert sorted(refs) == sorted(
        record.outcome.kept for record in records(ledger_file) if record.outcome and record.outcome.kept
    )


def one_line(said: Said, code: int) -> str:
    assert said.returncode == code, said
    (line,) = said.stderr.splitlines()
    assert line.startswith("stepdown: ")
    return line


# The provider.

WALKED = [("haiku-4-5", "provider"), ("opus-4-7", None)]
STEPPED_UP = [("haiku-4-5", "quality"), ("sonnet-4-6", None)]


@pytest.mark.parametrize(
    ("fault", "attempts", "said"),
    [
        (Fault(kind="hang"), STEPPED_UP, "no end after 0.3 s"),
        (Fault(kind="cut"), WALKED, "the connection to the provider failed"),
        (Fault(kind="html", status=502), WALKED, "the provider answered 502: no error message that can be read"),
        (Fault(kind="html", status=200), WALKED, "answered 200 with something that is not a message"),
        (Fault(kind="status", status=529), WALKED, "the provider answered 529"),
        (Fault(kind="refusal"), STEPPED_UP, "the model refused"),
        (Fault(kind="wrong"), STEPPED_UP, "nothing was changed, though the plan names files to change"),
    ],
    ids=lambda value: value.kind + str(value.status) if isinstance(value, Fault) else "",
)
def test_what_a_provider_does_wrong_is_walked_round(
    fault: Fault,
    attempts: list[tuple[str, str | None]],
    said: str,
    project: Path,
    provider: PracticeProvider,
    call: Run,
    ledger_file: Path,
) -> None:
    provider.faults.add([fault])
    prefer(
        project,
        providers={"practice": {"base_url": provider.url}},
        agents={"practice": {"timeout": 0.3 if fault.kind == "hang" else 20}},
    )
    done = call("run", project, "--agent", "practice", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert ends(ledger_file) == attempts
    assert said in evidence(ledger_file)
    assert said in done.stdout
    assert ticked(project) == [1]
    nothing_unnamed(project, ledger_file)


class _Strange(http.server.BaseHTTPRequestHandler):
    """Answers 200 and means an error."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        error = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
        body = b"event: error\ndata: " + error + b"\n\n" if self.server.streams else error  # type: ignore[attr-defined]  # ours
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("kind", ["a stream", "an object", "nobody"])
def test_a_provider_that_never_answers_well_fails_the_unit_as_provider(
    kind: str, project: Path, call: Run, ledger_file: Path
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Strange) as server:
        server.streams = kind == "a stream"  # type: ignore[attr-defined]  # ours
        url = f"http://127.0.0.1:{server.server_address[1]}"
        if kind == "nobody":
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        prefer(project, providers={"practice": {"base_url": url}})
        done = call("run", project, "--agent", "practice", "--yes")
        if kind != "nobody":
            server.shutdown()
    assert (done.returncode, done.stderr) == (1, "")
    assert ends(ledger_file) == [("haiku-4-5", "provider"), ("opus-4-7", "provider"), ("opus-4-6", "provider")]
    assert "given up: the fallback chain is exhausted" in done.stdout
    assert "Failed: execute-task M001/S01/T01: the" in done.stdout
    assert ticked(project) == []
    nothing_unnamed(project, ledger_file)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_rejected_model_is_blocked_and_avoided_by_the_next_run(
    status: int, project: Path, provider: PracticeProvider, call: Run, ledger_file: Path
) -> None:
    provider.faults.add([Fault(kind="status", status=status, model="claude-haiku-4-5", message="not for you", times=0)])
    prefer(project, providers={"practice": {"base_url": provider.url}})
    assert call("run", project, "--agent", "practice", "--max-units", "1", "--yes").returncode == 0
    assert ends(ledger_file) == [("haiku-4-5", "rejected"), ("opus-4-7", None)]
    blocked = f"anthropic/claude-haiku-4-5 is blocked: the provider answered {status}: not for you"
    assert blocked in call("doctor", project).stdout
    assert call("run", project, "--agent", "practice", "--max-units", "1").returncode == 0
    assert ends(ledger_file)[2:] == [("sonnet-4-6", None)]
    assert ticked(project) == [1, 2]
    nothing_unnamed(project, ledger_file)


# What verifies the work.


@pytest.mark.parametrize(
    ("command", "code", "kinds", "said"),
    [
        ("sleep 60", 1, ["quality"] * 3, "`sleep 60`: did not end within 0.3 s"),
        ("yes", 1, ["quality"] * 3, "`yes`: did not end within 0.3 s"),
        ("printf '\\377\\000\\033[31m\\007 bad'; exit 3", 1, ["quality"] * 3, "exit 3: \ufffd\ufffd\ufffd bad"),
        ("touch made.txt", 0, [None], "`touch made.txt`: exit 0; it changed made.txt"),
        ("no-such-program --check", 0, [None], "`no-such-program --check`: not found: nothing was checked"),
    ],
)
def test_commands_that_misbehave(
    command: str, code: int, kinds: list[str | None], said: str, project: Path, call: Run, ledger_file: Path
) -> None:
    prefer(
        project,
        verification_commands=[command],
        dynamic_routing={**PREFERENCES["dynamic_routing"], "thresholds": {"verify_timeout": 0.3}},
    )
    done = call("run", project, "--agent", "practice", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (code, "")
    assert [kind for _, kind in ends(ledger_file)] == kinds
    assert said in evidence(ledger_file)
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert all(line.isprintable() for line in call("why", "M001/S01/T01", "--project", project).stdout.splitlines())
    assert ticked(project) == ([] if code else [1])
    nothing_unnamed(project, ledger_file)


def test_the_users_own_preferences_answer_for_the_plan(project: Path, home: Path, tmp_path: Path, call: Run) -> None:
    (home / ".gsd").mkdir()
    (home / ".gsd" / "PREFERENCES.md").write_text("---\ntrust_plan_commands: true\n---\n")
    prefer(project, verification_commands=[f"touch {tmp_path}/ran"])
    done = call("run", project, "--agent", "practice", "--max-units", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "They will not run" not in done.stdout
    assert (tmp_path / "ran").exists()


# The work tree.

AGENT = """
import json, os, pathlib, subprocess, sys
kind, unit, model = sys.argv[1:4]
task, first = unit[-3:], "haiku" in model
def git(*words): subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)
def put(name, text): pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True); pathlib.Path(name).write_text(text)
def work():
    if task == "T01": put("README.md", "# Hello" + chr(10))
    if task == "T02": put("hello.py", "hello" + chr(10))
    for name, text in {"complete-slice": "slices/S01/S01-SUMMARY", "validate-milestone": "M001-VALIDATION",
                       "complete-milestone": "M001-SUMMARY"}.items():
        if kind == name: put(f".gsd/milestones/M001/{text}.md", "---\\nverdict: pass\\n---\\n# Done\\n")
def usage(**more): print(json.dumps({"usage": {"input_tokens": 1000, "output_tokens": 100}, "model": model, **more}), flush=True)
"""


@pytest.fixture
def agent(project: Path, tmp_path: Path) -> Callable[..., None]:
    """Sets the command agent to a Python script; ``work()`` does what the task promises."""

    def agent(script: str, **keys: Any) -> None:
        path = tmp_path / "agent.py"
        path.write_text(AGENT + script)
        command = [sys.executable, "-SE", str(path), "{unit_type}", "{unit_id}", "{model}"]
        prefer(project, agents={"command": {"command": command}}, **keys)

    return agent


def test_without_anybody_to_ask_no_command_runs_and_that_is_said(
    project: Path, tmp_path: Path, agent: Callable[..., None], call: Run, ledger_file: Path
) -> None:
    """Not even where the project vouches for itself."""
    agent("work()", verification_commands=[f"touch {tmp_path}/ran"], trust_plan_commands=True)
    plan = project / SLICE / "tasks" / "T01-PLAN.md"
    plan.write_text(plan.read_text().replace("- `README.md`", ""))
    done = call("run", project, "--agent", "command", "--max-units", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "They will not run without your word: --yes." in done.stdout
    assert "a project cannot vouch for itself" in done.stdout
    assert "1 of them unverified" in done.stdout
    assert not (tmp_path / "ran").exists()
    (record,) = records(ledger_file)
    assert record.outcome is not None
    assert record.outcome.verified is None
    assert f"`touch {tmp_path}/ran`: not run: needs your word" in evidence(ledger_file)


def dirty(project: Path) -> None:
    (project / "staged.txt").write_bytes(b"staged\xff\n")
    git(project, "add", "staged.txt")
    (project / "staged.txt").write_bytes(b"staged, then changed\r\n")
    (project / "README.md").write_text("# Helo, changed by me\n")
    (project / "mine").mkdir()
    (project / "mine" / "notes.bin").write_bytes(bytes(range(256)))


def detached(project: Path) -> None:
    git(project, "checkout", "--quiet", "--detach")
    dirty(project)


def with_module(project: Path) -> None:
    library = project.parent / "library"
    library.mkdir()
    (library / "code.c").write_text("int x;\n")
    git(library, "init", "--quiet")
    git(library, "add", "-A")
    git(library, "commit", "--quiet", "-m", "library")
    git(project, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(library), "library")
    dirty(project)


def without_commits(project: Path) -> None:
    git(project, "update-ref", "-d", "HEAD")
    dirty(project)


def state(project: Path) -> dict[str, object]:
    """All there is of a user's work: HEAD, the index, every file; without what the unit is to change."""
    files = {
        str(path.relative_to(project)): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(project).parts[:1] and path.suffix != ".md"
    }
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, check=False).stdout
    branches = git(project, "for-each-ref", "refs/heads", "--format=%(refname) %(objectname)")
    return {"files": files, "head": head, "index": git(project, "ls-files", "--stage"), "branches": branches}


SPOILS = """
if first:
    put("README.md", "spoilt"); put("junk/new.txt", "x"); put("staged.txt", "lost")
    for path in pathlib.Path("mine").glob("*"): path.unlink()
    if pathlib.Path("library/code.c").exists(): put("junk.c", "x")
    git("add", "-A"); git("commit", "-m", "by the agent")
    sys.exit("it went wrong")
assert not pathlib.Path("junk").exists()
work()
"""


@pytest.mark.parametrize("made", [dirty, detached, with_module, without_commits])
def test_what_a_failed_attempt_did_is_undone_and_kept(
    made: Callable[[Path], None], project: Path, agent: Callable[..., None], call: Run, ledger_file: Path
) -> None:
    """Also where the agent committed it."""
    agent(SPOILS)
    made(project)
    before = state(project)
    done = call("run", project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert STEPPED_UP == ends(ledger_file)
    assert state(project) == before
    assert (project / "README.md").read_text() == "# Hello\n"
    assert ticked(project) == [1]
    nothing_unnamed(project, ledger_file)
    outcome = records(ledger_file)[0].outcome
    assert outcome is not None
    assert f"what it had become: {outcome.kept}" in done.stdout
    assert git(project, "show", f"{outcome.kept}:junk/new.txt") == "x"
    assert f"{outcome.kept} holds" in evidence(ledger_file)  # the agent's commits


def test_without_git_attempts_continue_in_place_and_say_so(
    project: Path, agent: Callable[..., None], call: Run, ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    (project / ".git").rename(project.parent / "away")
    agent("if first: put('half.txt', 'x'); sys.exit('it went wrong')\nassert pathlib.Path('half.txt').exists(); work()")
    done = call("run", project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "attempts continue in place" in done.stdout
    assert STEPPED_UP == ends(ledger_file)
    assert ticked(project) == [1]


# Hooks.

REVIEW = {"name": "review", "after": ["execute-task"], "prompt": "Look.", "retry_on": "AGAIN.md", "max_cycles": 3}


def units(ledger_file: Path) -> list[str]:
    return [f"{record.attempt.unit_type} {record.attempt.unit_id[-3:]}" for record in records(ledger_file)]


def test_a_hook_that_always_asks_again_ends(project: Path, agent: Callable[..., None], call: Run, ledger_file: Path) -> None:
    again = f"{SLICE}/tasks/T01-AGAIN.md"
    agent(
        f"put('{again}', 'again') if kind == 'hook/review' else put('README.md', os.urandom(4).hex())", post_unit_hooks=[REVIEW]
    )
    done = call("run", project, "--agent", "command", "--only", "M001/S01/T01", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert units(ledger_file) == ["execute-task T01", "hook/review T01"] * 3
    assert ticked(project) == [1]


def test_a_hook_that_fails_stops_nothing(project: Path, agent: Callable[..., None], call: Run, ledger_file: Path) -> None:
    agent("work() if kind == 'execute-task' else sys.exit('no')", post_unit_hooks=[REVIEW])
    done = call("run", project, "--agent", "command", "--max-units", "2", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in units(ledger_file) if name.startswith("execute")] == ["execute-task T01", "execute-task T02"]
    assert "hook/review T02" in units(ledger_file)
    assert ticked(project) == [1, 2]
    nothing_unnamed(project, ledger_file)


def test_a_skipped_unit_is_not_run_has_no_hooks_and_does_not_count(
    project: Path, agent: Callable[..., None], call: Run, ledger_file: Path
) -> None:
    skip = {"name": "later", "before": ["execute-task"], "action": "skip", "skip_if": "LATER.md"}
    (project / SLICE / "tasks" / "T01-LATER.md").write_text("not now")
    agent("work()", pre_dispatch_hooks=[skip], post_unit_hooks=[REVIEW])
    done = call("run", project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "execute-task M001/S01/T01: skipped by the hook later" in done.stdout
    assert units(ledger_file) == ["execute-task T02", "hook/review T02"]
    assert ticked(project) == [2]
    nothing_unnamed(project, ledger_file)


# A plan that changes while it runs.

PLAN = f"plan = pathlib.Path('{SLICE}/S01-PLAN.md'); text = plan.read_text(); work()\nif task == 'T01' and kind == 'execute-task': "


@pytest.mark.parametrize(
    "edit",
    [
        "plan.write_text(text.replace('- [ ] **T01', '- **T01'))",
        "plan.write_text(text.replace('T01', 'T09')); pathlib.Path(plan.parent, 'tasks/T01-PLAN.md').unlink()",
        "plan.unlink(); import shutil; shutil.rmtree(plan.parent / 'tasks')",
        "import shutil; shutil.rmtree('.gsd')",
    ],
    ids=["no box", "renamed", "no slice plan", "no plan"],
)
def test_a_task_that_its_agent_removed_is_recorded_as_it_went(
    edit: str, project: Path, agent: Callable[..., None], call: Run, ledger_file: Path
) -> None:
    agent(PLAN + edit)
    said = one_line(call("run", project, "--agent", "command", "--yes"), 3)
    assert "T01" in said
    assert "done, verified" not in said
    assert ends(ledger_file) == [("haiku-4-5", None)]
    nothing_unnamed(project, ledger_file)


def test_tasks_that_a_task_adds_are_run(project: Path, agent: Callable[..., None], call: Run, ledger_file: Path) -> None:
    agent(PLAN + "plan.write_text(text + '- [ ] **T03: One more** `est:5m`\\n')")
    done = call("run", project, "--agent", "command", "--max-units", "3", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert units(ledger_file) == ["execute-task T01", "execute-task T02", "execute-task T03"]
    assert "- [x] **T03: One more**" in (project / SLICE / "S01-PLAN.md").read_text()
