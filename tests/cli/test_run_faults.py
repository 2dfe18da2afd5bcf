"""`stepdown run` under bad conditions: one clear line each, the documented exit code, and nothing lost."""

import asyncio
import http.server
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_day import ROUTING, SLICE, BadDay, one_line

from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.loop import run_plan
from stepdown.ledger import open_ledger
from stepdown.plans import GsdPlan
from stepdown.practice.agent import PracticeAgent
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.preferences import load_preferences
from stepdown.routing import Router

Said = subprocess.CompletedProcess[str]
Run = Callable[..., Said]


@pytest.fixture
def day(tmp_path: Path, ledger_file: Path) -> BadDay:
    return BadDay(tmp_path, ledger_file)


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
    day: BadDay,
    provider: PracticeProvider,
    call: Run,
) -> None:
    provider.faults.add([fault])
    day.prefer(
        providers={"practice": {"base_url": provider.url}},
        agents={"practice": {"timeout": 0.3 if fault.kind == "hang" else 20}},
    )
    done = call("run", day.project, "--agent", "practice", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert day.ends() == attempts
    first = day.records()[0]
    assert first.outcome is not None
    assert first.outcome.finished - first.attempt.started < 3  # a hang ends with the timeout, not with somebody's patience
    assert said in day.evidence()
    assert said in done.stdout
    assert day.ticked() == [1]
    assert day.named()


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
def test_a_provider_that_never_answers_well_fails_the_unit_as_provider(kind: str, day: BadDay, call: Run) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Strange) as server:
        server.streams = kind == "a stream"  # type: ignore[attr-defined]  # ours
        url = f"http://127.0.0.1:{server.server_address[1]}"
        if kind == "nobody":
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        day.prefer(providers={"practice": {"base_url": url}})
        done = call("run", day.project, "--agent", "practice", "--yes")
        if kind != "nobody":
            server.shutdown()
    assert (done.returncode, done.stderr) == (1, "")
    assert day.ends() == [("haiku-4-5", "provider"), ("opus-4-7", "provider"), ("opus-4-6", "provider")]
    assert "given up: the fallback chain is exhausted" in done.stdout
    assert "Failed: execute-task M001/S01/T01: the" in done.stdout
    assert day.ticked() == []
    assert day.named()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_rejected_model_is_blocked_and_avoided_by_the_next_run(
    status: int, day: BadDay, provider: PracticeProvider, call: Run
) -> None:
    provider.faults.add([Fault(kind="status", status=status, model="claude-haiku-4-5", message="not for you", times=0)])
    day.prefer(providers={"practice": {"base_url": provider.url}})
    assert call("run", day.project, "--agent", "practice", "--max-units", "1", "--yes").returncode == 0
    assert day.ends() == [("haiku-4-5", "rejected"), ("opus-4-7", None)]
    blocked = f"anthropic/claude-haiku-4-5 is blocked: the provider answered {status}: not for you"
    assert blocked in call("doctor", day.project).stdout
    assert call("run", day.project, "--agent", "practice", "--max-units", "1").returncode == 0
    assert day.ends()[2:] == [("sonnet-4-6", None)]
    assert day.ticked() == [1, 2]
    assert day.named()


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
def test_commands_that_misbehave(command: str, code: int, kinds: list[str | None], said: str, day: BadDay, call: Run) -> None:
    day.prefer(
        verification_commands=[command],
        dynamic_routing={**ROUTING, "thresholds": {"verify_timeout": 0.3}},
    )
    done = call("run", day.project, "--agent", "practice", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (code, "")
    assert [kind for _, kind in day.ends()] == kinds
    assert said in day.evidence()
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert all(line.isprintable() for line in call("why", "M001/S01/T01", "--project", day.project).stdout.splitlines())
    assert day.ticked() == ([] if code else [1])
    assert day.named()


def test_without_anybody_to_ask_no_command_runs_and_that_is_said(day: BadDay, tmp_path: Path, call: Run) -> None:
    """Not even where the project vouches for itself."""
    day.agent("work()", verification_commands=[f"touch {tmp_path}/ran"], trust_plan_commands=True)
    plan = day.project / SLICE / "tasks" / "T01-PLAN.md"
    plan.write_text(plan.read_text().replace("- `README.md`", ""))
    done = call("run", day.project, "--agent", "command", "--max-units", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "They will not run without your word: --yes." in done.stdout
    assert "a project cannot vouch for itself" in done.stdout
    assert "1 of them unverified" in done.stdout
    assert not (tmp_path / "ran").exists()
    (record,) = day.records()
    assert record.outcome is not None
    assert record.outcome.verified is None
    assert f"`touch {tmp_path}/ran`: not run: needs your word" in day.evidence()


def test_the_users_own_preferences_answer_for_the_plan(day: BadDay, home: Path, tmp_path: Path, call: Run) -> None:
    (home / ".gsd").mkdir()
    (home / ".gsd" / "PREFERENCES.md").write_text("---\ntrust_plan_commands: true\n---\n")
    day.prefer(verification_commands=[f"touch {tmp_path}/ran"])
    done = call("run", day.project, "--agent", "practice", "--max-units", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "They will not run" not in done.stdout
    assert (tmp_path / "ran").exists()


# Hooks.

REVIEW = {"name": "review", "after": ["execute-task"], "prompt": "Look.", "retry_on": "AGAIN.md", "max_cycles": 3}


def test_a_hook_that_always_asks_again_ends(day: BadDay, call: Run) -> None:
    again = f"{SLICE}/tasks/T01-AGAIN.md"
    day.agent(
        f"put('{again}', 'again') if kind == 'hook/review' else put('README.md', os.urandom(4).hex())", post_unit_hooks=[REVIEW]
    )
    done = call("run", day.project, "--agent", "command", "--only", "M001/S01/T01", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert day.units() == ["execute-task T01", "hook/review T01"] * 3
    assert day.ticked() == [1]


def test_a_hook_that_fails_stops_nothing(day: BadDay, call: Run) -> None:
    day.agent("work() if kind == 'execute-task' else sys.exit('no')", post_unit_hooks=[REVIEW])
    done = call("run", day.project, "--agent", "command", "--max-units", "2", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in day.units() if name.startswith("execute")] == ["execute-task T01", "execute-task T02"]
    assert "hook/review T02" in day.units()
    assert day.ticked() == [1, 2]
    assert day.named()


def test_a_skipped_unit_is_not_run_has_no_hooks_and_does_not_count(day: BadDay, call: Run) -> None:
    skip = {"name": "later", "before": ["execute-task"], "action": "skip", "skip_if": "LATER.md"}
    (day.project / SLICE / "tasks" / "T01-LATER.md").write_text("not now")
    day.agent("work()", pre_dispatch_hooks=[skip], post_unit_hooks=[REVIEW])
    done = call("run", day.project, "--agent", "command", "--max-units", "1", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "execute-task M001/S01/T01: skipped by the hook later" in done.stdout
    assert day.units() == ["execute-task T02", "hook/review T02"]
    assert day.ticked() == [2]
    assert day.named()


# A plan that changes while it runs.

PLAN = f"""
plan = pathlib.Path('{SLICE}/S01-PLAN.md')
text = plan.read_text()
work()
if task == 'T01' and kind == 'execute-task': """


@pytest.mark.parametrize(
    "edit",
    [
        "plan.write_text(text.replace('T01', 'T09')); pathlib.Path(plan.parent, 'tasks/T01-PLAN.md').unlink()",
        "plan.unlink(); import shutil; shutil.rmtree(plan.parent / 'tasks')",
        "import shutil; shutil.rmtree('.gsd')",
    ],
    ids=["renamed", "no slice plan", "no plan"],
)
def test_a_task_that_its_agent_removed_is_recorded_as_it_went(edit: str, day: BadDay, call: Run) -> None:
    day.agent(PLAN + edit)
    said = one_line(call("run", day.project, "--agent", "command", "--yes"), 3)
    assert "T01" in said
    assert day.ends() == [("haiku-4-5", None)]
    assert day.named()


def test_tasks_that_a_task_adds_are_run(day: BadDay, call: Run) -> None:
    day.agent(PLAN + "plan.write_text(text + '- [ ] **T03: One more** `est:5m`\\n')")
    done = call("run", day.project, "--agent", "command", "--max-units", "3", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert day.units() == ["execute-task T01", "execute-task T02", "execute-task T03"]
    assert "- [x] **T03: One more**" in (day.project / SLICE / "S01-PLAN.md").read_text()


# A clock that jumps.


def test_a_clock_that_jumps_spoils_no_record(day: BadDay, provider: PracticeProvider, call: Run) -> None:
    """It goes on a day and back an hour, from call to call."""
    jumps = itertools.accumulate(itertools.cycle((86_400.0, -3_600.0, -3_600.0)), initial=time.time())
    day.prefer(budgets=[{"unit": "usd", "limit": 5, "window": "day"}, {"unit": "tokens", "limit": 10**9, "window": "5h"}])
    catalog = Catalog.load()
    router = Router(load_preferences(day.project, catalog=catalog), catalog)

    async def run() -> int:
        with open_ledger() as ledger:
            agent, plan = PracticeAgent(base_url=provider.url), GsdPlan.open(day.project)
            dispatcher = Dispatcher(router, agent, ledger, plan, clock=lambda: next(jumps), commands_allowed=True)
            return len([done async for done in run_plan(dispatcher) if not done.failed])

    assert asyncio.run(run()) == 5
    outcomes = [(record.attempt.started, record.outcome.finished) for record in day.records() if record.outcome]
    assert any(finished < started for started, finished in outcomes)
    for command in (("why", "M001/S01/T01", "--project"), ("report",), ("status",), ("plan",)):
        for more in ((), ("--json",)):
            said = call(*command, day.project, *more)
            assert (said.returncode, said.stderr) == (0, "")
            assert not re.search(r"\$-|(?<!\d)-[\d.]+ (s|min|h|d)\b", said.stdout)  # no sum and no time is negative
    assert call("run", day.project, "--agent", "practice").stdout.startswith("Nothing is pending.")


# Budgets: 1,000 and 100 tokens of claude-haiku-4-5 are 0.15 cents.


@pytest.mark.parametrize("enforcement", ["pause", "halt"])
def test_a_budget_that_fills_up_on_the_way_stops_there(enforcement: str, day: BadDay, call: Run) -> None:
    day.agent("work(); usage()", budget_ceiling=0.001, budget_enforcement=enforcement)
    said = call("run", day.project, "--agent", "command", "--yes")
    assert "execute-task M001/S01/T02 was not started" in one_line(said, 6)
    assert said.stdout.count("budget_ceiling has passed") == 1  # the highest mark says it all
    assert "budget_ceiling has passed 100%: $0.0015 of $0.001" in said.stdout
    assert day.ticked() == [1]
    assert [record.outcome.cost_usd for record in day.records() if record.outcome] == [pytest.approx(0.0015)]
    assert day.named()
    again = call("run", day.project, "--agent", "command", "--yes")
    assert again.returncode == 6
    assert "has passed" not in again.stdout


def test_a_budget_that_only_warns_is_announced_once_and_gone_over(day: BadDay, call: Run) -> None:
    day.agent("work(); usage()", budget_ceiling=0.001, budget_enforcement="warn")
    for number in (1, 2):
        said = call("run", day.project, "--agent", "command", "--max-units", "1", "--yes")
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout.count("has passed") == (number == 1)
    assert day.ticked() == [1, 2]


def test_the_cap_of_a_unit_covers_all_its_attempts(day: BadDay, call: Run) -> None:
    """The first attempt takes 0.15 cents of the 0.2; the second, on a model of three times the price, 0.45."""
    day.agent("usage()", per_unit_cost_cap_usd=0.002)
    said = call("run", day.project, "--agent", "command", "--yes")
    assert (said.returncode, said.stderr) == (1, "")
    assert day.ends() == [("haiku-4-5", "quality"), ("sonnet-4-6", "quality")]
    assert "given up: the unit has used up its per_unit_cost_cap_usd" in said.stdout
    assert day.ticked() == []
    assert day.named()


def test_hooks_do_not_count_as_units(day: BadDay, call: Run) -> None:
    day.agent("work()", post_unit_hooks=[{**REVIEW, "retry_on": ""}])
    said = call("run", day.project, "--agent", "command", "--max-units", "2", "--yes")
    assert (said.returncode, said.stderr) == (0, "")
    assert [unit.partition(" ")[2] for unit in day.units() if unit.startswith("execute")] == ["T01", "T02"]
    assert "hook/review T02" in day.units()
