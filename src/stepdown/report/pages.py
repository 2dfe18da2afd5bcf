"""What every page shares: templates that escape what they are given, and how numbers are written in them."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from stepdown.money import count, dollars, share
from stepdown.report.tables import one_line

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def environment(*packages: str) -> "Environment":
    """Templates of these packages, and those here, which they can include.

    Whatever text they are given is escaped, and characters that would drive a terminal or turn the direction of writing are
    replaced. Every number stands in an element whose ``data-value`` has it as JSON does.
    """
    # Imported here: commands that draw no page must not wait for it.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup, escape  # noqa: PLC0415

    def harmless(value: object) -> object:
        return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def number(value: float | None, text: str) -> Markup:
        """A number as people read it, with the exact one beside it."""
        exact = escape(msgspec.json.encode(value).decode())
        # Both are escaped; Markup.format does the same and takes six times as long, of which a page has hundreds.
        return Markup(f'<span class="n" data-value="{exact}">{escape(text)}</span>')  # noqa: S704  (see the line above)

    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "stepdown.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(_formats(number), some=some, tail=tail, money=_estimate)
    return made


def some(number: int, word: str) -> str:
    """``requests``, or ``request`` for one."""
    return word if number == 1 else f"{word}s"


def tail(path: str) -> str:
    """The last part of a path, which people know a project by."""
    return next((part for part in reversed(re.split(r"[/\\]", path)) if part), path)


def _formats(number: "Callable[[float | None, str], Markup]") -> "dict[str, Callable[..., Markup]]":
    """How a template writes numbers."""

    def usd(amount: float | None, *, told: bool = False) -> "Markup":
        """Dollars: ours are estimated, an agent's own are told."""
        return number(amount, dollars(amount, estimated=not told and amount is not None))

    def whole(value: int) -> "Markup":
        return number(value, f"{value:,}")

    def tokens(value: int) -> "Markup":
        return number(value, count(value))

    def percent(part: float, of: float) -> "Markup":
        return number(part / of if of > 0 else None, share(part, of) or "unknown")

    def size(value: int) -> "Markup":
        return number(value, _bytes(value))

    formats = (usd, whole, tokens, percent, size, number)
    return {one.__name__: one for one in formats}


def _estimate(amount: float) -> str:
    return dollars(amount, estimated=True)


def _bytes(value: int) -> str:
    for size, letter in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if value >= size * 0.9995:
            return f"{value / size:,.1f} {letter}"
    return f"{value} bytes"
