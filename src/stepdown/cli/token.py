"""``stepdown token``: who may use the gateways of this ledger, and for what."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from stepdown.cli.arguments import project_at
from stepdown.cli.pin import seconds_of
from stepdown.cli.screen import print_json, print_table, say
from stepdown.cli.trail import at_the_machine
from stepdown.cli.workspace import read_preferences
from stepdown.errors import UsageError
from stepdown.gateway.found import TOKEN
from stepdown.gateway.modes import MODES
from stepdown.ledger import Ledger, open_ledger
from stepdown.ledger.records import Person
from stepdown.report.tables import Column
from stepdown.team.allowances import allowance, filled, used, written
from stepdown.team.keep import change, create, described, renew, revoke
from stepdown.team.roles import EVERY, ROLES

_RELATIVE: Final = ("./", "../", "~")
"""What a project begins with that is a directory of this machine."""


@click.group("token", short_help="Who may use the gateways, and for what.")
def command() -> None:
    """Tokens: one for each person, with the projects, the role and the budgets that are theirs.

    As long as somebody has one, the gateways of this ledger take nobody without. A viewer sees the page of their projects, a
    member works, an admin sees every project, switches modes and pins, and revokes tokens.
    """


def _settings(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a token may."""
    options = [
        click.option(
            "--project", "projects", multiple=True, metavar="P", help="A directory, a name that requests bring, or '*' for all."
        ),
        click.option("--role", type=click.Choice(list(ROLES)), help="Default: member."),
        click.option(
            "--budget", "budgets", multiple=True, metavar="LIMIT", help="20/week, '2M tokens/day', '500 requests/day'."
        ),
        click.option("--ceiling", metavar="MODEL", help="Nothing above this model runs for them."),
        click.option("--mode", metavar="MODE", help="What the gateway may change for them; default: its own mode."),
        click.option("--model", "models", multiple=True, metavar="MODEL", help="Only this one may serve them, or several."),
        click.option("--expires", metavar="TIME", help="When the token ends: 12h, 90d."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command.command("create", short_help="Make somebody a token.")
@click.argument("name")
@_settings
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def create_one(*, name: str, json_: bool, **said: Any) -> None:
    """Make NAME a token, which is shown this once: the ledger keeps what it is recognised by, and cannot give it back."""
    now = time.time()
    person = _with(Person(name=name), said, now)
    if not person.projects and person.role != "admin":
        raise UsageError(f"which projects is {name} to see? Say --project (a directory or a name; '*' is all), or --role admin")
    with open_ledger() as ledger:
        token = create(ledger, person, at_the_machine(), now)
    _show(person, token, json_=json_)


@command.command("renew", short_help="Another token for the same person.")
@click.argument("name")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def renew_one(*, name: str, json_: bool) -> None:
    """Make NAME another token with the same settings; the old one is worth nothing within a second or two."""
    with open_ledger(create=False) as ledger:
        person, token = renew(ledger, name, at_the_machine(), time.time())
    _show(person, token, json_=json_)


@command.command("change", short_help="The same token may something else.")
@click.argument("name")
@_settings
def change_one(*, name: str, **said: Any) -> None:
    """Change what NAME's token may: each option that is given replaces what there was; '' takes a setting away."""
    if all(value in {None, ()} for value in said.values()):
        raise UsageError("nothing to change: say --project, --role, --budget, --ceiling, --mode, --model or --expires")
    now = time.time()
    with open_ledger(create=False) as ledger:
        person = change(ledger, name, lambda known: _with(known, said, now), at_the_machine(), now)
    say(described(person))


@command.command("revoke", short_help="Take a token back.")
@click.argument("name")
def revoke_one(*, name: str) -> None:
    """Take NAME's token back: gateways turn it away within a second or two. What was spent with it stays in the ledger."""
    with open_ledger(create=False) as ledger:
        revoke(ledger, name, at_the_machine(), time.time())
        left = any(key.person.revoked is None for key in ledger.keys())  # noqa: SIM118  (it is no dict)
    say(f"The token of {name} is revoked.")
    if not left:
        say("Nobody has one any more: gateways that run stay closed; one that is started on 127.0.0.1 asks for none.")


@command.command("list", short_help="Everybody, with what they used.")
@click.option("--json", "json_", is_flag=True, help="A JSON list.")
def show_all(*, json_: bool) -> None:
    """List everybody who has, or had, a token."""
    now = time.time()
    with open_ledger(create=False) as ledger:
        rows = [_entry(ledger, key.person, now) for key in ledger.keys()]  # noqa: SIM118  (it is no dict)
    if json_:
        print_json(rows)
        return
    if not rows:
        say("Nobody has a token. `stepdown token create ana --project .` makes one.")
        return
    columns = ("name", "role", "projects", "budgets", "may", "last used", "state")
    print_table([Column(title=title) for title in columns], [_row(row) for row in rows])


class _Budget(msgspec.Struct, frozen=True):
    """One budget of somebody's: what it is, and what is used of it."""

    budget: str
    used: float
    limit: float
    unit: str
    shown: str


class _Entry(msgspec.Struct, frozen=True):
    """Somebody, as ``stepdown token list --json`` has them; times are seconds since the epoch."""

    name: str
    role: str
    projects: tuple[str, ...]
    budgets: list[_Budget]
    ceiling: str
    mode: str
    models: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None
    seen: float | None
    state: str


def _entry(ledger: Ledger, person: Person, now: float) -> _Entry:
    kept = {name: getattr(person, name) for name in Person.__struct_fields__ if name != "budgets"}
    return _Entry(**kept, budgets=list(_budgets(ledger, person, now)), state=person_state(person, now))


def _budgets(ledger: Ledger, person: Person, now: float) -> Iterator[_Budget]:
    for one in person.budgets:
        spent = used(ledger, person, one, now)
        yield _Budget(written(one), spent, one.limit, one.unit, filled(spent, one))


def person_state(person: Person, now: float) -> str:
    """``valid``, ``revoked``, ``expired``, or when it will be."""
    if person.revoked is not None:
        return "revoked"
    if person.expires is None:
        return "valid"
    return "expired" if person.expires <= now else f"until {_day(person.expires)}"


def _row(row: _Entry) -> tuple[str, ...]:
    limits = [f"at most {row.ceiling}"] if row.ceiling else []
    limits += [row.mode] if row.mode else []
    limits += [f"only {', '.join(row.models)}"] if row.models else []
    projects = "all" if row.role == "admin" or EVERY in row.projects else ", ".join(row.projects)
    budgets = ", ".join(one.shown for one in row.budgets)
    seen = "never" if row.seen is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(row.seen))
    return row.name, row.role, projects, budgets or "-", ", ".join(limits) or "-", seen, row.state


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _with(person: Person, said: dict[str, Any], now: float) -> Person:
    """The person with what was said on the command line; what was not said stays."""
    changed: dict[str, Any] = {}
    if said["projects"]:
        changed["projects"] = tuple(dict.fromkeys(map(_project, said["projects"])))
    if said["role"]:
        changed["role"] = said["role"]
    if said["budgets"]:
        changed["budgets"] = tuple(allowance(text) for text in said["budgets"] if text)
    if said["ceiling"] is not None:
        changed["ceiling"] = _model(said["ceiling"], "--ceiling")
    if said["mode"] is not None:
        changed["mode"] = _mode(said["mode"])
    if said["models"]:
        changed["models"] = tuple(dict.fromkeys(_model(name, "--model") for name in said["models"] if name))
    if said["expires"] is not None:
        changed["expires"] = now + seconds_of(said["expires"], "--expires") if said["expires"] else None
    return msgspec.structs.replace(person, **changed)


def _project(text: str) -> str:
    """What the ledger calls it. A directory may be one of another machine: only a relative one is looked for here."""
    text = text.strip()
    if text in {".", ".."} or text.startswith(_RELATIVE):
        return project_at(Path(text).expanduser())
    if not text or not text.isprintable():
        raise UsageError("--project: a directory, a name or '*' is expected")
    return text.rstrip("/") or "/"


def _mode(name: str) -> str:
    """A mode; "" is the gateway's own."""
    if name and name not in MODES:
        import difflib  # noqa: PLC0415  (only for a mistyped name)

        near = difflib.get_close_matches(name, MODES, n=1)
        raise UsageError(f"--mode {name}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(MODES)}"))
    return name


def _model(name: str, option: str) -> str:
    """A model of the catalogue, as it was named there; "" is none."""
    if not name:
        return ""
    _, catalog = read_preferences(Path())
    found = catalog.resolve(name)
    if found is None:
        near = catalog.nearest(name)
        raise UsageError(
            f"{option} {name}: there is no such model"
            + (f"; did you mean {near}?" if near else "; `stepdown models` lists them")
        )
    return found.ref


def _show(person: Person, token: str, *, json_: bool) -> None:
    if json_:
        print_json({"name": person.name, "token": token})
        return
    say(*_lines(person, token))


def _lines(person: Person, token: str) -> Sequence[str]:
    return (
        described(person),
        "",
        f"  {token}",
        "",
        "It is shown this once. Agents bring it as their API key, where the gateway has the provider's own; those with a login",
        "of their own bring it beside that, as the header x-stepdown-token. The page asks for it, and stepdown's own commands",
        f"take it from {TOKEN}.",
    )
