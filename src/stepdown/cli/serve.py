"""``stepdown serve``: the gateway in the foreground, until ctrl-C."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.gateways import shown
from stepdown.cli.screen import complain, say
from stepdown.cli.trust import TRUST, insist
from stepdown.gateway.found import TOKEN, Found
from stepdown.gateway.modes import MODES
from stepdown.preferences import Preferences, load_preferences
from stepdown.report.tables import one_line

if TYPE_CHECKING:
    from stepdown.gateway.books import Line
    from stepdown.gateway.desk import Desk
    from stepdown.gateway.logs import Log
    from stepdown.gateway.options import Options

_log: Final = logging.getLogger("stepdown.gateway")

PORT: Final = 8787
"""Where it listens unless told otherwise, so that lasting configurations of agents can name it."""


@click.command("serve", short_help="Start the gateway.", context_settings={"auto_envvar_prefix": "STEPDOWN_SERVE"})
@click.argument("path", type=TREE, default=".")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help=f"Another address needs a token, in {TOKEN}.")
@click.option("--mode", type=click.Choice(list(MODES)), help="What it may change; default: what the preferences say.")
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    metavar="NAME",
    envvar="STEPDOWN_SERVE_HOST_NAME",
    help="Another name it may be called by.",
)
@click.option(
    "--linger",
    type=click.FloatRange(min=0, max=3600),
    default=0.0,
    show_default=True,
    help="Seconds for which requests are taken after it was told to stop, while /readyz says no.",
)
@click.option(
    "--drain", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds that answers may take to end."
)
@click.option(
    "--idle", type=click.FloatRange(min=0), default=0.0, help="End after so many seconds without anybody; 0 is never."
)
@TRUST
@click.option("--verbose", is_flag=True, help="A line per request.")
@click.option(
    "--log",
    "form",
    type=click.Choice(["plain", "json"]),
    default="plain",
    show_default=True,
    envvar="STEPDOWN_SERVE_LOG",
    help="What it says; json is a line of JSON for each request and warning, on standard error.",
)
def command(
    *,
    path: Path,
    port: int,
    host: str,
    mode: str | None,
    host_names: tuple[str, ...],
    linger: float,
    drain: float,
    idle: float,
    trust: bool,
    verbose: bool,
    form: str,
) -> None:
    """Put stepdown between agents and their providers, counting for the project at PATH what names no other.

    It starts by changing nothing: it records which model each request went to, what that cost and what it would have decided.
    ctrl-C stops it once the answers under way have ended; a second one does not wait for them.

    Every option may stand in the environment instead, as STEPDOWN_SERVE_ and its name: STEPDOWN_SERVE_HOST_NAME="one two".
    """
    from stepdown.gateway.descriptors import allow_many  # noqa: PLC0415  (for this command alone)
    from stepdown.gateway.logs import Log  # noqa: PLC0415  (likewise)
    from stepdown.gateway.options import Options  # noqa: PLC0415  (the server, for this command alone)

    project = project_at(path)
    options = Options(
        host=host,
        port=port,
        project=project,
        load=lambda: _agreed_preferences(Path(project)),
        mode=mode or "",
        token=os.environ.get(TOKEN, ""),
        host_names=frozenset(host_names),
        linger=linger,
        drain=drain,
        idle=idle,
    )
    allow_many()
    log = Log(sys.stderr) if form == "json" else None
    with _plain_log() if log is None else log.instead():
        _serve(options, log, trust=trust, verbose=verbose and log is None)


def _serve(options: "Options", log: "Log | None", *, trust: bool, verbose: bool) -> None:
    from stepdown.gateway.serve import serve  # noqa: PLC0415  (the server, for this command alone)

    project = Path(options.project)
    preferences = load_preferences(project)
    insist(preferences, project, trust=trust)
    for warning in preferences.warnings:
        _log.warning("%s", warning)

    def ready(found: Found, desk: "Desk") -> None:
        if log is not None:
            log.say(
                "listening", url=found.url, mode=desk.mode, project=found.project, pid=found.pid, version=version("stepdown")
            )
            return
        say(*_greeting(found, desk))
        sys.stdout.flush()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        cut = runner.run(serve(options, ready=ready, stopping=_stopping, passing=_passing if verbose else None, log=log))
    if cut:
        _log.warning("%s cut off", f"{cut} {'answer was' if cut == 1 else 'answers were'}")
    if log is not None:
        log.say("ended", code=130 if cut else 0)
    if cut:
        raise SystemExit(130)


def _agreed_preferences(project: Path) -> Preferences:
    """Read while it runs, when nobody can be asked: what the user has not agreed to stays out, and so does its file."""
    preferences = load_preferences(project)
    insist(preferences, project, asks=False)
    return preferences


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop's, where it is installed; docs/decisions/0002-dependencies.md has what it saves."""
    try:
        import uvloop  # noqa: PLC0415  (the same)
    except ImportError:
        return None
    return uvloop.Loop


def _passing(line: "Line") -> None:
    click.echo(one_line(shown(msgspec.to_builtins(line))), err=True)


def _stopping(under_way: int) -> None:
    if under_way:
        waits = "it waits for 1 answer" if under_way == 1 else f"it waits for {under_way} answers"
        _log.warning("stopping: %s; ctrl-C again does not wait", waits)


def _greeting(found: Found, desk: "Desk") -> Iterator[str]:
    """Where it is, what it does, what it found, and how agents get there."""
    preferences = desk.world.preferences
    yield f"stepdown listens on {found.url}, mode {desk.mode}: {MODES[desk.mode]}"
    yield f"  project    {found.project}"
    yield f"  providers  {', '.join(_providers(preferences))}"
    yield f"  the page   {found.url}/"
    yield f"  for Claude Code and Anthropic's SDKs    ANTHROPIC_BASE_URL={found.url}"
    yield f"  for Codex, OpenCode and OpenAI's SDKs   OPENAI_BASE_URL={found.url}/v1"
    if found.port == PORT:
        yield "  or: stepdown exec -- claude, stepdown connect claude; stepdown tail shows what passes"
    else:
        yield f"  or: stepdown exec --port {found.port} -- claude; stepdown tail shows what passes"


def _providers(preferences: Preferences) -> Iterator[str]:
    """Who may be asked, each with the name of the variable that holds a key for it."""
    from stepdown.catalog import Catalog  # noqa: PLC0415  (for this command alone)
    from stepdown.providers import participating, providers  # noqa: PLC0415  (the same)

    catalog, known = Catalog.load(preferences.catalog), providers(preferences)
    ceilings = [catalog.resolve(choice.model, choice.provider) for choice in preferences.models.values()]
    names = frozenset[str]().union(*(participating(preferences, catalog, ceiling) for ceiling in (None, *ceilings)))
    for name in sorted(names | {"anthropic", "openai"}):
        provider = known.get(name)
        if provider is not None:
            key = provider.key_in(os.environ)
            yield f"{name} ({key or ('local' if provider.local else 'the agent brings its own login')})"


def _plain_log() -> contextlib.AbstractContextManager[None]:
    """Warnings as lines on standard error, as every other complaint."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complain(self.format(record))

    logging.basicConfig(level=logging.WARNING, handlers=[Lines()], format="%(message)s", force=True)
    return contextlib.nullcontext()
