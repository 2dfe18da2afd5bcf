"""``stepdown practice``: the practice provider by itself, to point any Anthropic client at."""

import click

from stepdown.errors import ProviderError


@click.command("practice", short_help="Start the practice provider.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
def command(*, port: int) -> None:
    """Start the practice provider on 127.0.0.1: Anthropic Messages with usage, scripted answers, no key, nothing spent."""
    from stepdown.practice.__main__ import serve  # noqa: PLC0415  (brings the web server)

    serve(port)
    _ = ProviderError
