"""`stepdown exec`: real programs behind a gateway, whose environment, terminal, signals and end are looked at."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from running_gateway import ask, clean, message, project_behind, running

from stepdown.gateway.found import left_word
from stepdown.ledger import Person, open_ledger
from stepdown.practice.provider import PracticeProvider
from stepdown.team.keep import create

Said = subprocess.CompletedProcess[str]
Program = Callable[..., Said]
PROGRAM = Path(sys.executable).with_name("stepdown")

SHOW = f"""#!{sys.executable}
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a provider; gateways that were started for it are ended."""
    clean(monkeypatch)
    provider = PracticeProvider(latency=0.0).start()
    project = project_behind(tmp_path / "project", provider.url)
    monkeypatch.chdir(project)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("claude", "codex", "opencode", "pi", "show"):
        (folder / name).write_text(SHOW)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    try:
        yield project
    finally:
        for one in left_word():
            os.kill(one.pid, signal.SIGTERM)
        end = time.monotonic() + 20
        while left_word():
            assert time.monotonic() < end
            time.sleep(0.05)
        provider.stop()


def shown(said: Said) -> tuple[list[str], Mapping[str, str]]:
    assert said.returncode == 0, said.stderr
    arguments, environment = json.loads(said.stdout)
    return arguments, environment


def test_a_program_finds_the_gateway_in_its_environment_and_the_next_finds_the_same(
    project: Path, program: Program, home: Path
) -> None:
    said = program("exec", "--", "show", "--help", "-x", "--port", "1")
    arguments, environment = shown(said)
    assert arguments == ["--help", "-x", "--port", "1"]
    assert said.stderr == ""
    [gateway] = left_word()
    assert gateway.project == str(project)
    assert {name: environment[name] for name in environment if name.endswith(("_BASE_URL", "_API_BASE"))} == {
        "ANTHROPIC_BASE_URL": gateway.url,
        "ANTHROPIC_API_BASE": gateway.url,
        "OPENAI_BASE_URL": f"{gateway.url}/v1",
        "OPENAI_API_BASE": f"{gateway.url}/v1",
    }
    assert ask(gateway.port, "POST", "/v1/messages", message())[0] == 200
    assert gateway.url in (home / f".stepdown/gateways/{gateway.port}.log").read_text()
    assert shown(program("exec", "show"))[1]["ANTHROPIC_BASE_URL"] == gateway.url
    (project / "inside").mkdir()
    assert shown(program("exec", "--project", "inside", "show"))[1]["ANTHROPIC_BASE_URL"] == gateway.url
    assert [one.pid for one in left_word()] == [gateway.pid]


@pytest.mark.usefixtures("project")
def test_several_at_once_start_one_gateway() -> None:
    started = [subprocess.Popen([PROGRAM, "exec", "show"], stdout=subprocess.PIPE) for _ in range(3)]
    urls = {json.loads(process.communicate(timeout=60)[0])[1]["ANTHROPIC_BASE_URL"] for process in started}
    assert urls == {one.url for one in left_word()}
    assert len(urls) == 1


def test_it_ends_as_the_program_does(project: Path, program: Program) -> None:
    with running(project):
        assert program("exec", "sh", "-c", "exit 7").returncode == 7
        assert program("exec", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
        assert program("exec", "sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
        said = subprocess.run([PROGRAM, "exec", "cat"], input=b"as it is\0\n", capture_output=True, check=True, timeout=60)
        assert (said.stdout, said.stderr) == (b"as it is\0\n", b"")


@pytest.mark.usefixtures("project")
def test_a_program_that_is_not_there_starts_nothing(program: Program, tmp_path: Path) -> None:
    said = program("exec", "nonesuch")
    assert (said.returncode, said.stderr) == (127, "stepdown: nonesuch: there is no such program\n")
    assert not left_word()
    (tmp_path / "bin" / "broken").write_text("#!/nowhere/at/all\n")
    (tmp_path / "bin" / "broken").chmod(0o755)
    said = program("exec", "broken")
    assert said.returncode == 126
    assert said.stderr.startswith("stepdown: broken does not start: ")


class Under:
    """A program under `stepdown exec`, in a group of its own as a shell starts it."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "exec", sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.pid = int(self.process.stdout.readline())

    def ended(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


def test_ctrl_c_is_the_programs(project: Path) -> None:
    script = (
        "import os, signal, time\n"
        "def first(*_):\n"
        "    signal.signal(signal.SIGINT, lambda *_: os._exit(3))\n"
        "    print('not yet', flush=True)\n"
        "signal.signal(signal.SIGINT, first)\n"
        "print(os.getpid(), flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    with running(project):
        under = Under(script)
        os.killpg(under.process.pid, signal.SIGINT)  # what a terminal does
        assert under.process.stdout
        assert under.process.stdout.readline() == "not yet\n"
        assert under.process.poll() is None
        os.killpg(under.process.pid, signal.SIGINT)
        assert under.ended() == (3, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_it_is_passed_on(project: Path, number: signal.Signals) -> None:
    script = (
        "import os, signal, time\n"
        f"signal.signal({int(number)}, lambda *_: os._exit(5))\n"
        "print(os.getpid(), flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    with running(project):
        under = Under(script)
        under.process.send_signal(number)
        assert under.ended() == (5, "")


def test_a_program_that_stops_itself_stops_it_and_goes_on_with_it(project: Path) -> None:
    script = (
        "import os, signal\nprint(os.getpid(), flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('back', flush=True)\n"
    )
    with running(project):
        under = Under(script)
        pid, status = os.waitpid(under.process.pid, os.WUNTRACED)
        assert (pid, os.WIFSTOPPED(status)) == (under.process.pid, True)
        under.process.send_signal(signal.SIGCONT)  # `fg`
        assert under.ended() == (0, "back\n")


def test_a_silent_program_keeps_its_gateway(project: Path) -> None:
    with running(project, "--idle", "1") as gateway:
        under = Under("import os, sys, time\nprint(os.getpid(), flush=True)\ntime.sleep(4)\n")
        time.sleep(3)
        assert gateway.process.poll() is None
        assert under.ended()[0] == 0
        assert gateway.ended() == 0


def test_an_address_of_the_users_own_is_left_alone_and_said(project: Path, program: Program) -> None:
    with running(project) as gateway:
        said = program(
            "exec", "show", OPENAI_BASE_URL="https://llm.corp.example/v1", HTTPS_PROXY="http://proxy:1", no_proxy="corp"
        )
        _, environment = shown(said)
        assert environment["OPENAI_BASE_URL"] == "https://llm.corp.example/v1"
        assert "OPENAI_API_BASE" not in environment
        assert environment["ANTHROPIC_BASE_URL"] == gateway.url
        assert environment["NO_PROXY"] == environment["no_proxy"] == "corp,127.0.0.1,localhost"
        assert said.stderr.count("\n") == 1
        assert "OPENAI_BASE_URL is https://llm.corp.example/v1, and stays so" in said.stderr
        assert "providers.openai.base_url" in said.stderr
        corporate = 'providers: {openai: {base_url: "https://llm.corp.example/v1"}}\n'
        (project / "stepdown.yaml").write_text(corporate)
        said = program("exec", "show", OPENAI_BASE_URL="https://llm.corp.example/v1")
        assert shown(said)[1]["OPENAI_BASE_URL"] == f"{gateway.url}/v1"
        assert said.stderr == ""


def test_claude_is_told_the_project_beside_the_users_own_headers(project: Path, program: Program, home: Path) -> None:
    settings = home / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8787"}}')
    with running(project) as gateway:
        arguments, environment = shown(program("exec", "--", "claude", "-p", "hi", ANTHROPIC_CUSTOM_HEADERS="x-mine: 1"))
        assert environment["ANTHROPIC_CUSTOM_HEADERS"] == f"x-mine: 1\nx-stepdown-project: {project}"
        assert json.loads(arguments[1]) == {"env": {"ANTHROPIC_BASE_URL": gateway.url}}
        assert arguments[0] == "--settings"
        assert arguments[2:] == ["-p", "hi"]
        assert settings.read_text() == '{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8787"}}'
        settings.write_text('{"env": {"ANTHROPIC_BASE_URL": "https://llm.corp.example"}}')
        said = program("exec", "--", "claude", "-p", "hi")
        assert shown(said)[0] == ["-p", "hi"]
        assert f"ANTHROPIC_BASE_URL in {settings} is https://llm.corp.example, and stays so" in said.stderr


def test_codex_and_opencode_and_pi_are_told_in_their_own_ways(project: Path, program: Program, home: Path) -> None:
    with running(project) as gateway:
        arguments, _ = shown(program("exec", "codex", "exec", "hi"))
        ours = ["-c", f'openai_base_url="{gateway.url}/v1"', "-c", "features.enable_request_compression=false"]
        assert arguments == [*ours, "exec", "hi"]
        content = '{"theme": "x", "provider": {"openai": {"options": {"timeout": 5}}}}'
        _, environment = shown(program("exec", "opencode", OPENCODE_CONFIG_CONTENT=content))
        merged: Any = json.loads(environment["OPENCODE_CONFIG_CONTENT"])
        headers = {"x-stepdown-project": str(project)}
        assert merged["theme"] == "x"
        assert merged["provider"]["openai"]["options"] == {"timeout": 5, "baseURL": f"{gateway.url}/v1", "headers": headers}
        assert merged["provider"]["anthropic"]["options"] == {"baseURL": f"{gateway.url}/v1", "headers": headers}
        arguments, environment = shown(program("exec", "pi", "-p", "hi"))
        assert arguments[0] == "--extension"
        assert Path(arguments[1]).is_file()
        assert environment["STEPDOWN_GATEWAY_URL"] == gateway.url
        assert sorted(path.name for path in home.iterdir()) == [".stepdown"]


def test_the_gateway_at_a_port_counts_for_the_directory(project: Path, program: Program, tmp_path: Path) -> None:
    elsewhere = project_behind(tmp_path / "elsewhere", "http://127.0.0.1:9")
    with running(project) as gateway:
        said = program("exec", "--port", str(gateway.port), "--project", elsewhere, "claude")
        assert shown(said)[1]["ANTHROPIC_CUSTOM_HEADERS"] == f"x-stepdown-project: {elsewhere}"
    assert program("exec", "--port", str(gateway.port), "claude").returncode == 10


def test_a_gateway_with_a_token_is_not_taken(project: Path, program: Program) -> None:
    with running(project, STEPDOWN_GATEWAY_TOKEN="opensesame") as closed:
        assert shown(program("exec", "show"))[1]["ANTHROPIC_BASE_URL"] != closed.url


def test_where_people_have_tokens_a_program_brings_its_users(
    project: Path, program: Program, refused: Callable[..., str]
) -> None:
    with open_ledger() as ledger:
        token = create(ledger, Person(name="ana", projects=(str(project),)), "root@vm", time.time())
    assert "wants a token: set yours in STEPDOWN_GATEWAY_TOKEN" in refused(10, "exec", "claude")
    brought = [shown(program("exec", "claude", STEPDOWN_GATEWAY_TOKEN=token))[1] for _ in range(2)]
    assert brought[0]["ANTHROPIC_BASE_URL"] == brought[1]["ANTHROPIC_BASE_URL"], "the second finds what the first started"
    headers = dict(line.split(": ") for line in brought[0]["ANTHROPIC_CUSTOM_HEADERS"].splitlines())
    assert headers == {"x-stepdown-project": str(project), "x-stepdown-token": token}
    port = int(brought[0]["ANTHROPIC_BASE_URL"].rpartition(":")[2])
    assert ask(port, "POST", "/v1/messages", message(), {**headers, "x-api-key": "k"})[0] == 200


def test_what_cannot_be_started_is_one_line(
    project: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("STEPDOWN_HOME", "/dev/null/nowhere")
        assert "STEPDOWN_HOME" in refused(10, "exec", "show")
    (project / "stepdown.yaml").write_text("gateway: {mode: maybe}\n")
    assert "stepdown.yaml:1" in refused(2, "exec", "show")
    assert "PROGRAM" in refused(2, "exec")
