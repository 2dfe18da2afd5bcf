"""From what is known to HTML: the page, its parts, and what is shown on a click."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from stepdown.catalog.names import without_date
from stepdown.dashboard.host import Doing, Facts, Health, Request
from stepdown.dashboard.people import Team
from stepdown.dashboard.view import State, Units
from stepdown.ledger.records import Person
from stepdown.ledger.rules import clean
from stepdown.report import pages
from stepdown.report.story import Story, change, cost_line, ended, plan_says, used
from stepdown.units import TIERS, Tier

if TYPE_CHECKING:
    from jinja2 import Environment

_SPANS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_NAMES: Final = {"budget_ceiling": "budget ceiling"}


class Parts:
    """Makes HTML; may be called in any thread.

    Args:
        version: of the program, in the addresses of scripts and style sheets.
    """

    def __init__(self, version: str) -> None:
        self._version = version

    @staticmethod
    def ready() -> None:
        """Compile the templates."""
        environment = _environment()
        for name in environment.list_templates(extensions=["html"]):
            environment.get_template(name)

    def style(self) -> str:
        """The style sheet."""
        return self._made("page.css")

    def page(
        self,
        facts: Facts,
        project: str,
        parts: Mapping[str, str],
        *,
        person: Person | None = None,
        projects: Sequence[str] = (),
    ) -> str:
        """The whole page. `person` looks at it, None where nobody signs in; `projects` are those to choose from."""
        own = clean(project)
        projects = list(dict.fromkeys([own, *projects]))
        return self._made("page.html", facts=facts, project=own, parts=parts, person=person, projects=projects)

    def moving(
        self, facts: Facts, doing: Sequence[Doing], requests: Sequence[Request], health: Sequence[Health], state: State
    ) -> dict[str, str]:
        """What changes from one second to the next."""
        return {
            "head": self._made("head.html", facts=facts, state=state),
            "trouble": self.trouble(facts.trouble),
            "doing": self._made("doing.html", doing=doing, facts=facts),
            "requests": self._made("requests.html", requests=requests, facts=facts),
            "models": self._made("models.html", health=health, state=state),
        }

    def units(self, units: Units, *, rateable: bool = True) -> dict[str, str]:
        """The newest units."""
        return {"units": self._made("units.html", units=units, rateable=rateable)}

    def people(self, team: Team) -> dict[str, str]:
        """Who has a token, and what administrators did."""
        return {"people": self._made("people.html", team=team)}

    def state(self, state: State) -> dict[str, str]:
        """What changes more slowly."""
        return {name: self._made(f"{name}.html", state=state) for name in ("sums", "chart", "meters", "learned")}

    def trouble(self, why: str) -> str:
        """A ledger that cannot be used."""
        return self._made("trouble.html", why=why)

    def all_units(self, facts: Facts, project: str, units: Units) -> str:
        """A page of its own for units, however old."""
        return self._made("all_units.html", facts=facts, project=clean(project), units=units)

    def unit(self, facts: Facts, story: Story, *, alone: bool) -> str:
        """A unit's receipt: `alone` is a page of its own."""
        return self._made("unit_page.html" if alone else "unit.html", facts=facts, project=story.last.project, story=story)

    def said(self, lines: Sequence[str], *, wrong: bool = False) -> str:
        """What follows from a word of the user's, or why it was not taken."""
        return self._made("said.html", lines=lines, wrong=wrong)

    def problem(self, why: str) -> str:
        """A page that says why there is no other."""
        return self._made("problem.html", why=why)

    def sign_in(self, why: str) -> str:
        """Asks for the token."""
        return self._made("sign_in.html", why=why)

    def _made(self, template: str, **known: Any) -> str:
        return _environment().get_template(template).render(version=self._version, **known)


@cache
def _environment() -> "Environment":
    made = pages.environment("stepdown.dashboard")
    made.filters.update(short=short, clock=_clock, iso=_iso, span=span, tier_name=_tier)
    made.globals.update(
        named=lambda meter: _NAMES.get(meter, meter),
        change=change,
        ended=ended,
        used=used,
        cost_line=cost_line,
        plan_says=plan_says,
        tiers=TIERS,
    )
    return made


def short(model: str) -> str:
    """A model as people say it: without its provider, and without the date of its release."""
    name = model.rpartition("/")[2]
    return (without_date(name) or name).removeprefix("claude-")


def span(seconds: float) -> str:
    """``12 s``, ``4 min``, ``2 h``, ``3 d``: in the largest unit that says it."""
    for size, word in _SPANS:
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(0.0, seconds):.0f} s"


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def _clock(seconds: float) -> str:
    """In UTC; the page writes it anew in the reader's own time."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%H:%M:%S UTC")


def _tier(tier: Tier | str | None) -> str:
    return str(tier or "unknown")
