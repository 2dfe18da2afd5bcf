"""Every credential that takes part, looked for afterwards in everything that was written, printed and answered."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_house import messages
from running_gateway import PROGRAM, ask, clean, project_behind, running

from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

CLIENT = "sk-ant-of-the-client-0123456789"
LOGIN = "oauth-of-the-client-0123456789"
OURS = "sk-ant-of-ours-0123456789"
OPENAI = "sk-proj-of-ours-0123456789"
TOKEN = "token-of-the-gateway-0123456789"
WEBHOOK = "webhook-path-0123456789"
PASSWORD = "password-of-the-database-0123456789"
QUERY = "key-in-the-query-0123456789"
PROMPT = "What only the user knows."
SECRETS = [CLIENT, LOGIN, OURS, OPENAI, TOKEN, WEBHOOK, PASSWORD, QUERY, PROMPT]
IN_A_FILE = "sk-ant-api03-written-in-a-file-0123456789"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose provider answers, refuses and breaks off in turn, repeating what it was sent."""
    clean(monkeypatch)
    provider = PracticeProvider(latency=0.0).start()
    faults = [Fault(kind="status", status=status, message=f"invalid key {CLIENT} {OURS}") for status in (401, 403, 500, 529)]
    provider.faults.add([*faults, Fault(kind="cut"), Fault(kind="garbage"), Fault(kind="mid_error", status=500)])
    for name, value in {
        "ANTHROPIC_API_KEY": OURS,
        "OPENAI_API_KEY": OPENAI,
        "STEPDOWN_GATEWAY_TOKEN": TOKEN,
        "TEAM_WEBHOOK": f"http://127.0.0.1:9/{WEBHOOK}",
    }.items():
        monkeypatch.setenv(name, value)
    more = "budget_ceiling: 0.0001\nbudget_enforcement: warn\nalerts: {webhook_env: TEAM_WEBHOOK}\ngateway: {mode: full}\n"
    yield project_behind(tmp_path / "project", provider.url, more=more)
    provider.stop()


def clear_of(texts: dict[str, bytes], secrets: list[str] = SECRETS) -> None:
    for where, text in texts.items():
        found = [secret for secret in secrets if secret.encode() in text]
        assert not found, (where, found)


def test_none_is_left_anywhere(project: Path, home: Path) -> None:
    answers: dict[str, bytes] = {}
    with running(project, "--verbose") as gateway:

        def said(name: str, method: str, path: str, data: object = None, **headers: str) -> None:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            answers[name] = b"".join(str(part).encode() for part in ask(gateway.port, method, path, data, sent))

        request = {**messages(), "messages": [{"role": "user", "content": PROMPT}]}
        for number in range(10):
            ask(gateway.port, "POST", f"/v1/messages?key={QUERY}", request, {"x-stepdown-token": TOKEN, "x-api-key": CLIENT})
            login = {"x-stepdown-token": TOKEN, "authorization": f"Bearer {LOGIN}"}
            ask(gateway.port, "POST", "/v1/messages", {**request, "stream": number % 2 > 0}, login)
            ask(gateway.port, "POST", "/v1/messages", request, {"x-api-key": TOKEN})
        for path in ("/", "/page/units", "/v1/stepdown/status", "/healthz", "/readyz", "/metrics", "/nowhere"):
            said(f"GET {path}", "GET", path, x_stepdown_token=TOKEN, accept="text/html")
            said(f"GET {path} with another", "GET", path, x_stepdown_token=f"{TOKEN}-but-wrong", accept="text/html")
        said("broken", "POST", "/v1/messages", {"model": 3, "x": PROMPT}, x_stepdown_token=TOKEN, x_api_key=CLIENT)
        said("too odd", "POST", "/v1/stepdown/pin", {"pin": "x"}, x_stepdown_token=TOKEN, x_api_key=CLIENT)
        assert gateway.stop() == 0
        answers["the gateway's own lines"] = "\n".join(gateway.said + gateway.complained).encode()
    clear_of(answers)
    kept = {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert any(path.endswith("ledger.db") for path in kept)
    clear_of(kept)
    commands = ["status", "report", "preferences", "doctor"]
    for command in [[command, *([str(project)])] for command in commands] + [["learned"], ["models"]]:
        done = subprocess.run([PROGRAM, *command], capture_output=True, check=False, timeout=60, env=os.environ)
        clear_of({command[0]: done.stdout + done.stderr})


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ana:{PASSWORD}@127.0.0.1:9/stepdown",
        f"postgresql://127.0.0.1:9/stepdown?password={PASSWORD}",
        f"postgresql://ana:{PASSWORD}@[::1/stepdown",
        f"postgres://ana:{PASSWORD}@127.0.0.1:notaport/stepdown",
        f"postgresql://ana:{PASSWORD}%zz@127.0.0.1/stepdown",
        f"postgresql://ana:{PASSWORD}/{PASSWORD}@127.0.0.1/stepdown",
        f"mysql://ana:{PASSWORD}@127.0.0.1/stepdown",
    ],
)
@pytest.mark.parametrize("command", [["status"], ["doctor"], ["serve", "--port", "0"], ["report"], ["ledger", "migrate"]])
def test_a_databases_password_is_in_no_message(address: str, command: list[str], tmp_path: Path) -> None:
    place = [str(tmp_path)] if command[0] != "ledger" else []
    with subprocess.Popen(
        [PROGRAM, *command, *place],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "STEPDOWN_LEDGER": address},
    ) as program:
        try:
            said, _ = program.communicate(timeout=10 if command[0] == "serve" else 60)
        except subprocess.TimeoutExpired:  # a gateway starts without its ledger
            program.terminate()
            said, _ = program.communicate(timeout=30)
    clear_of({command[0]: said})
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    "text",
    [
        f"providers: {{anthropic: {{api_key: {IN_A_FILE}}}}}",
        f"providers: {{anthropic: {{api_key_env: {IN_A_FILE}}}}}",
        f'providers: {{anthropic: {{base_url: "https://u:{IN_A_FILE}@h.example/ x"}}}}',
        f"alerts: {{webhook_env: {IN_A_FILE}}}",
        f"budget_ceiling: {IN_A_FILE}",
        f"agents: {{claude: {{args: [--key, {IN_A_FILE}]}}}}",
        f"{IN_A_FILE}: 1",
    ],
)
@pytest.mark.parametrize("command", ["preferences", "plan", "doctor", "serve"])
def test_a_key_in_a_file_is_not_repeated(text: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "stepdown.yaml").write_text(text)
    if command == "serve" and "agents" in text:
        pytest.skip("a gateway starts no agent, so this is nothing to it")
    done = subprocess.run(
        [PROGRAM, command, tmp_path, *(["--port", "99999"] if command == "serve" else [])],
        capture_output=True,
        check=False,
        timeout=60,
        env=os.environ,
    )
    clear_of({command: done.stdout + done.stderr}, [IN_A_FILE])
