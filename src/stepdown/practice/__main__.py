"""``python -m stepdown.practice --port 8788``: the practice provider by itself, until Ctrl-C."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click

from stepdown.errors import StepdownError
from stepdown.practice.provider import PracticeProvider


async def _serve(port: int, log_file: Path | None, *, strict: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with PracticeProvider(port=port, log_file=log_file, strict=strict) as provider:
        spoken = "Anthropic Messages, OpenAI Chat Completions and Responses"
        click.echo(f"practice provider: {provider.url} ({spoken}; no key, no model, nothing spent)")
        sys.stdout.flush()
        await stopped.wait()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option(
    "--log", "log_file", type=click.Path(dir_okay=False, path_type=Path), help="Append each request as a line of JSON."
)
@click.option("--strict", is_flag=True, help="Reject what a model's entry in the catalogue excludes, as the real ones do.")
def main(port: int, log_file: Path | None, *, strict: bool) -> None:
    """Serve Anthropic Messages and OpenAI's two protocols on loopback, scripted: for trying things without a key."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_serve(port, log_file, strict=strict))
        except StepdownError as problem:
            click.echo(f"stepdown: {problem}", err=True)
            raise SystemExit(problem.exit_code) from problem


if __name__ == "__main__":
    main()
