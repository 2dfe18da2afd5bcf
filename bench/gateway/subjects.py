"""Who takes part: how each is installed, set up to pass Messages requests on to the provider, and started."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from bench.gateway.bodies import MODEL
from bench.gateway.install import NotHere, from_npm, from_pypi, program

_UNIT: Final = {"x-claude-code-session-id": "bench-{unit}"}
_DECLARED: Final = {**_UNIT, "x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "M001/S01/T{unit}"}


class Place(msgspec.Struct, frozen=True):
    """Where a subject runs.

    Attributes:
        cache: where its packages are kept.
        home: an empty directory for what it writes.
        provider: the provider's port on 127.0.0.1.
        port: where it is to listen, there too.
    """

    cache: Path
    home: Path
    provider: int
    port: int

    @property
    def url(self) -> str:
        """The provider's address."""
        return f"http://127.0.0.1:{self.provider}"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a subject is started.

    Attributes:
        command: the program and its arguments.
        environ: beside PATH and HOME.
    """

    command: Sequence[str | Path]
    environ: Mapping[str, str] = {}


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the comparison.

    Attributes:
        name: as it is called on the command line.
        label: in the tables.
        how: what it was told to do, in a sentence.
        prepare: installs it and writes its files; raises NotHere.
        headers: what a client has to send it beyond the protocol's own.
        patience: seconds that it may take to start.
        ours: whether it is stepdown.
        long: whether it is asked the most often, to see that its memory stays as it is.
    """

    name: str
    label: str
    how: str
    prepare: Callable[[Place], Start]
    headers: Mapping[str, str] = MappingProxyType(_UNIT)
    patience: float = 20.0
    ours: bool = False
    long: bool = False


def environ_of(place: Place, start: Start) -> dict[str, str]:
    """What a subject sees of the environment: no keys, no preferences, nobody's proxies."""
    return {"PATH": os.environ["PATH"], "HOME": str(place.home), "LANG": "C.UTF-8", **start.environ}


NGINX: Final = """\
daemon off; master_process off; pid {home}/nginx.pid; error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m; proxy_buffering off; keepalive_requests 1000000;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u;
  scgi_temp_path {home}/s;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 600s;
    location / {{ proxy_pass http://provider; }}
  }}
}}
"""


def _nginx(place: Place) -> Start:
    found = program("nginx")
    configuration = place.home / "nginx.conf"
    configuration.write_text(NGINX.format(home=place.home, provider=place.provider, port=place.port))
    return Start(command=[found, "-p", place.home, "-c", configuration])


def _plain(place: Place) -> Start:
    packages = (
        "starlette==1.10.0",
        "uvicorn==0.54.0",
        "uvloop==0.23.0",
        "httptools==0.9.0",
        "aiohttp==3.14.5",
        "orjson==3.13.0",
    )
    python = from_pypi(place.cache / "plain", *packages)
    return Start(command=[python, Path(__file__).with_name("plain.py"), place.url, str(place.port)])


LITELLM: Final = """\
model_list:
  - model_name: {model}
    litellm_params: {{model: anthropic/claude-haiku-4-5, api_base: "{url}", api_key: sk-bench}}
litellm_settings: {{telemetry: false}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}  # on loopback, without a key, as the others
"""


def _litellm(place: Place) -> Start:
    python = from_pypi(place.cache / "litellm", "litellm[proxy]==1.106.2")
    configuration = place.home / "config.yaml"
    configuration.write_text(LITELLM.format(model=MODEL, url=place.url))
    return Start(
        command=[python.with_name("litellm"), "--config", configuration, "--host", "127.0.0.1", "--port", str(place.port)],
        environ={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
    )


def _ccr(place: Place) -> Start:
    modules = from_npm(place.cache / "claude-code-router", "@musistudio/claude-code-router@2.0.0")
    # Its "bypass": with the protocol's own transformer alone it does not translate.
    settings = {
        "PORT": place.port,
        "LOG": False,
        "NON_INTERACTIVE_MODE": True,
        "Providers": [
            {
                "name": "bench",
                "api_base_url": f"{place.url}/v1/messages",
                "api_key": "sk-bench",
                "models": ["claude-haiku-4-5"],
                "transformer": {"use": ["Anthropic"]},
            }
        ],
        "Router": {"default": "bench,claude-haiku-4-5"},
    }
    folder = place.home / ".claude-code-router"
    folder.mkdir()
    (folder / "config.json").write_bytes(msgspec.json.encode(settings))
    return Start(command=[program("node"), modules / "@musistudio/claude-code-router/dist/cli.js", "start"])


def _portkey(place: Place) -> Start:
    modules = from_npm(place.cache / "portkey", "@portkey-ai/gateway@1.15.2")
    script = modules / "@portkey-ai/gateway/build/start-server.js"
    return Start(command=[program("node"), script, f"--port={place.port}", "--headless"], environ={"NODE_ENV": "production"})


PREFERENCES: Final = """\
version: 1
models: {{default: {model}}}
dynamic_routing: {{enabled: true}}
budget_ceiling: 1000000
providers:
  anthropic: {{base_url: "{url}", api_key_env: ANTHROPIC_API_KEY, protocols: [messages]}}
"""


def _stepdown(mode: str) -> Callable[[Place], Start]:
    def prepare(place: Place) -> Start:
        project = place.home / "project"
        project.mkdir()
        (project / "stepdown.yaml").write_text(PREFERENCES.format(model=MODEL, url=place.url))
        found = Path(sys.executable).with_name("stepdown")
        if not found.exists():
            raise NotHere("stepdown is not installed beside this Python")
        return Start(
            command=[found, "serve", project, "--port", str(place.port), "--mode", mode],
            environ={"STEPDOWN_HOME": str(place.home / "stepdown")},
        )

    return prepare


PLAIN: Final = "plain"
"""The name of the subject that the others are compared with."""

SUBJECTS: Final = (
    Subject(
        name="nginx",
        label="nginx",
        how="proxy_pass with kept connections, one process, no buffering of answers. It knows nothing of what passes.",
        prepare=_nginx,
    ),
    Subject(
        name=PLAIN,
        label="pass-through",
        how="Starlette, uvicorn with uvloop and httptools, aiohttp, orjson: sets the model, writes the body anew, sends it on.",
        prepare=_plain,
    ),
    Subject(
        name="observe",
        label="stepdown, observe",
        how="One conversation per 40 requests, decided and filed in a ledger on disk; nothing is changed.",
        prepare=_stepdown("observe"),
        ours=True,
    ),
    Subject(
        name="delegated",
        label="stepdown, delegated",
        how="One declared unit per 40 requests, put on a cheaper model; ledger on disk.",
        prepare=_stepdown("delegated"),
        headers=_DECLARED,
        ours=True,
        long=True,
    ),
    Subject(
        name="full",
        label="stepdown, full",
        how="One conversation per 40 requests, recognised, priced and put on a cheaper model; ledger on disk.",
        prepare=_stepdown("full"),
        ours=True,
    ),
    Subject(
        name="portkey",
        label="Portkey 1.15.2",
        how="The provider as custom host, Messages passed on as Messages.",
        prepare=_portkey,
        headers={**_UNIT, "x-portkey-provider": "anthropic", "x-portkey-custom-host": "http://127.0.0.1:{provider}/v1"},
    ),
    Subject(
        name="litellm",
        label="LiteLLM 1.106.2",
        how="One model, one worker, no database, its own /v1/messages.",
        prepare=_litellm,
        patience=90.0,
    ),
    Subject(
        name="ccr",
        label="claude-code-router 2.0.0",
        how="The protocol's own transformer alone, so that it does not translate. 3.x needs a package that is not to be had.",
        prepare=_ccr,
        patience=30.0,
    ),
)


def chosen(names: Sequence[str]) -> tuple[Subject, ...]:
    """The subjects of these names, in the table's order; all where none is named. The pass-through always takes part."""
    return tuple(one for one in SUBJECTS if not names or one.name in {*names, PLAIN})
