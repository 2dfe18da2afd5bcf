import os
import sys
import time
from pathlib import Path

import pytest

from stepdown.agents.command import CommandAgent
from stepdown.agents.port import Event, Finished, Job, Started, Step
from stepdown.catalog.records import Model
from stepdown.errors import AgentError, PreferencesError
from stepdown.preferences.schema import AgentSettings
from stepdown.units import Tokens, Unit

MODEL = Model(id="claude-haiku-4-5", provider="anthropic")


def python(code: str, *arguments: str) -> CommandAgent:
    return CommandAgent(AgentSettings(command=(sys.executable, "-c", code, *arguments)))


def job(workdir: Path, *, prompt: str = "do it", timeout: float = 30.0) -> Job:
    unit = Unit("execute-task", "M001/S01/T01")
    return Job(unit=unit, prompt=prompt, model=MODEL, workdir=workdir, timeout=timeout)


async def collect(agent: CommandAgent, work: Job) -> list[Event]:
    return [event async for event in agent.run(work)]


async def outcome(agent: CommandAgent, work: Job) -> Finished:
    finished = (await collect(agent, work))[-1]
    assert isinstance(finished, Finished)
    return finished


def exists(path: str) -> bool:
    return Path(path).exists()


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie nobody reaps has ended, too)."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


async def test_placeholders_reach_the_program_as_they_are_without_a_shell(tmp_path: Path) -> None:
    code = "import sys; print('|'.join(sys.argv[1:])); print(open(sys.argv[-1]).read())"
    agent = python(
        code, "{model}", "{provider}", "{model_ref}", "{unit_id} {unit_type}", "{{model}}", "$HOME; {workdir}", "{prompt_file}"
    )
    events = await collect(agent, job(tmp_path, prompt="$(touch x) `y`"))
    assert events[0] == Started(model="claude-haiku-4-5")
    shown, prompt = (event.detail for event in events if isinstance(event, Step))
    expected = ["claude-haiku-4-5", "anthropic", "anthropic/claude-haiku-4-5", "M001/S01/T01 execute-task", "{model}"]
    assert shown.split("|")[:5] == expected
    assert shown.split("|")[5].startswith("$HOME; /")
    assert prompt == "$(touch x) `y`"
    assert not exists(shown.split("|")[6])


async def test_the_prompt_comes_on_standard_input_where_nothing_else_takes_it(tmp_path: Path) -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    long = "x" * 500_000
    assert (await collect(python(code), job(tmp_path, prompt=long)))[1] == Step("text", detail="500000")
    assert (await collect(python(code, "{prompt_file}"), job(tmp_path, prompt=long)))[1] == Step("text", detail="0")


async def test_a_program_that_reads_nothing_is_no_problem(tmp_path: Path) -> None:
    assert (await outcome(python("pass"), job(tmp_path, prompt="x" * 1_000_000))).failure is None


async def test_the_last_line_may_tell_usage_and_cost(tmp_path: Path) -> None:
    report = '{"usage": {"input_tokens": 5, "output_tokens": 2}, "cost_usd": 0.01, "model": "m", "result": "ok"}'
    code = f"print('work'); print({report!r})"
    finished = await outcome(python(code), job(tmp_path))
    assert finished == Finished(tokens=Tokens(input=5, output=2), cost_usd=0.01, billed=True, model="m", text="ok")


@pytest.mark.parametrize("said", ["", "done", "{", "[1]", "null", '{"usage": {"input_tokens": "many"}, "cost_usd": "free"}'])
async def test_without_json_tokens_and_cost_are_unknown_not_zero(tmp_path: Path, said: str) -> None:
    finished = await outcome(python(f"print({said!r})"), job(tmp_path))
    assert (finished.failure, finished.tokens, finished.cost_usd) == (None, None, None)


async def test_a_non_zero_exit_is_a_failure_with_the_last_line_of_its_errors(tmp_path: Path) -> None:
    code = "import sys; print('first', file=sys.stderr); print('the disk is full\\n', file=sys.stderr); sys.exit(3)"
    finished = await outcome(python(code), job(tmp_path))
    assert (finished.failure, finished.message) == ("quality", "exit code 3: the disk is full")


async def test_a_signal_is_named(tmp_path: Path) -> None:
    finished = await outcome(python("import os; os.kill(os.getpid(), 9)"), job(tmp_path))
    assert finished.message.startswith("ended by SIGKILL")


async def test_its_own_error_flag_and_failure_kind_are_believed(tmp_path: Path) -> None:
    flagged = await outcome(python("""print('{"is_error": true, "result": "no tests"}')"""), job(tmp_path))
    assert (flagged.failure, flagged.message) == ("quality", "no tests")
    busy = await outcome(python("""print('{"failure": "provider", "message": "429"}'); raise SystemExit(1)"""), job(tmp_path))
    assert (busy.failure, busy.message) == ("provider", "429")


async def test_one_that_never_ends_is_stopped_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    events = await collect(python(code), job(tmp_path, timeout=1.0))
    step, finished = events[1], events[-1]
    assert isinstance(finished, Finished)
    assert (finished.failure, finished.message) == ("quality", "stalled: still running after 1 s, stopped")
    assert isinstance(step, Step)
    assert gone(int(step.detail))


async def test_one_that_leaves_a_child_behind_still_ends(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True)"
    )
    events = await collect(python(code), job(tmp_path))
    step = events[1]
    assert isinstance(step, Step)
    assert gone(int(step.detail))


async def test_closing_it_early_stops_it(tmp_path: Path) -> None:
    events = python("import os, time; print(os.getpid(), flush=True); time.sleep(60)").run(job(tmp_path))
    pid = 0
    async for event in events:
        if isinstance(event, Step):
            pid = int(event.detail)
            break
    await events.aclose()  # type: ignore[attr-defined]  # the port promises an iterator; ours is a generator
    assert gone(pid)


async def test_huge_and_binary_output_is_bounded(tmp_path: Path) -> None:
    code = "import sys; w = sys.stdout.buffer.write; w(b'x' * 30_000_000 + b'\\n'); w(bytes(range(256)) * 4); w(b'\\nend\\n')"
    events = await collect(python(code), job(tmp_path))
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[-1].detail == "end"
    assert all(len(step.detail) <= 200 and step.detail.isprintable() for step in steps)


async def test_many_lines_come_in_order_and_whole(tmp_path: Path) -> None:
    events = await collect(python("for n in range(20_000): print(n)"), job(tmp_path))
    assert [event.detail for event in events if isinstance(event, Step)] == [str(n) for n in range(20_000)]


async def test_a_program_that_is_not_there_is_one_line_with_the_key(tmp_path: Path) -> None:
    agent = CommandAgent(AgentSettings(command=("no-such-agent-anywhere", "{model}")))
    assert "agents.command.command" in str(agent.check())
    with pytest.raises(AgentError, match=r"^cannot start 'no-such-agent-anywhere': .*agents\.command\.command$"):
        await collect(agent, job(tmp_path))


async def test_a_missing_directory_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no directory"):
        await collect(python("pass"), job(tmp_path / "gone"))


async def test_arguments_that_cannot_be_passed_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="NUL"):
        await collect(python("pass", "{prompt}"), job(tmp_path, prompt="a\0b"))
    with pytest.raises(AgentError, match="too long"):
        await collect(python("pass", "{prompt}"), job(tmp_path, prompt="x" * 5_000_000))


async def test_no_command_line_says_how_to_write_one(tmp_path: Path) -> None:
    agent = CommandAgent(AgentSettings())
    assert '"{model}"' in str(agent.check())
    with pytest.raises(AgentError, match=r"agents\.command\.command"):
        await collect(agent, job(tmp_path))


def test_an_unknown_placeholder_lists_those_that_exist() -> None:
    with pytest.raises(PreferencesError, match=r"there is no \{modle\}; there are \{model\}, \{provider\}"):
        CommandAgent(AgentSettings(command=("agent", "{modle}")))


def test_braces_that_are_no_placeholder_are_left_alone() -> None:
    CommandAgent(AgentSettings(command=("agent", '{"json": 1}', "{{word}}", "${HOME}", "{}")))
