"""``stepdown doctor``: looks for what is missing or wrong, and names the fix."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click
import msgspec

from stepdown.agents import AGENTS, open_agent
from stepdown.candidates import Market
from stepdown.catalog import Catalog
from stepdown.cli.arguments import TREE, directory
from stepdown.cli.gateways import glance
from stepdown.cli.screen import print_json, say
from stepdown.clients import CLIENTS
from stepdown.clients.connection import Connections
from stepdown.errors import StepdownError
from stepdown.gateway.found import running
from stepdown.ledger import ledger_location, open_ledger
from stepdown.ledger.open import home, shown_location
from stepdown.plans import GsdPlan
from stepdown.plans.source import pending
from stepdown.preferences import Preferences, load_preferences
from stepdown.providers import providers, unused_keys


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        state: ``ok``; ``note`` (works, but worth knowing); ``wrong`` (something will not work).
        subject: what was looked at.
        text: what was found.
        fix: what to do; "" where nothing is to be done.
    """

    state: Literal["ok", "note", "wrong"]
    subject: str
    text: str
    fix: str = ""


@click.command("doctor", short_help="Look for what is missing or wrong, and name the fix.")
@click.argument("path", type=TREE, default=".")
@click.option("--json", "json_", is_flag=True, help="A JSON list.")
def command(*, path: Path, json_: bool) -> None:
    """Check the installation and the project at PATH. Exit code 1 when something will not work."""
    findings = list(examine(directory(path).resolve()))
    if json_:
        print_json(findings)
    else:
        marks = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}
        for finding in findings:
            say(f"{marks[finding.state]} {finding.subject}: {finding.text}")
            if finding.fix:
                say(f"      fix: {finding.fix}")
    if any(finding.state == "wrong" for finding in findings):
        raise SystemExit(1)


def examine(root: Path) -> Iterator[Finding]:
    """Everything there is to check, the foundations first."""
    yield Finding("ok", "python", f"{platform.python_version()}")
    yield from _ledger()
    catalog = Catalog.load()
    try:
        preferences = load_preferences(root, catalog=catalog)
    except StepdownError as error:
        for line in str(error).splitlines():
            yield Finding("wrong", "preferences", line, "mend that line; `stepdown preferences` shows the result")
        preferences = Preferences()
    else:
        yield from _preferences(preferences)
    yield from _plan(root)
    try:
        catalog = Catalog.load(preferences.catalog)
    except StepdownError as error:
        yield Finding("wrong", "catalogue", str(error), "mend the `catalog` section of the preferences")
    yield Finding("ok", "catalogue", f"{len(catalog.models)} models")
    yield from _models(preferences, catalog)
    yield from _agents(preferences)
    yield from _gateway(root)
    yield _git(root)


def _ledger() -> Iterator[Finding]:
    where = shown_location(ledger_location())
    try:
        with open_ledger(create=False) as ledger:
            spent = ledger.spent()
            blocks = ledger.blocks(time.time())
    except StepdownError as error:
        yield Finding("wrong", "ledger", str(error))
        return
    yield Finding("ok", "ledger", f"{where}, {spent.attempts} attempts")
    for block in blocks:
        fix = f"stepdown models --unblock {block.model}, once that is mended"
        yield Finding("note", "ledger", f"{block.model} is blocked: {block.reason}", fix)


def _preferences(preferences: Preferences) -> Iterator[Finding]:
    if not preferences.files:
        yield Finding(
            "note",
            "preferences",
            "there are none",
            "write .gsd/PREFERENCES.md (or stepdown.yaml): `models` and `dynamic_routing`",
        )
    else:
        yield Finding("ok", "preferences", ", ".join(preferences.files))
    for warning in preferences.warnings:
        yield Finding("note", "preferences", warning)
    if preferences.files and not preferences.dynamic_routing.enabled:
        yield Finding("note", "routing", "is off: decisions are only shown", "set dynamic_routing: {enabled: true}")


def _plan(root: Path) -> Iterator[Finding]:
    try:
        units = list(GsdPlan.open(root).units())
    except StepdownError as error:
        yield Finding("note", "plan", str(error))
        return
    yield Finding("ok", "plan", f"{len(units)} units, {len(pending(units))} pending")


def _models(preferences: Preferences, catalog: Catalog) -> Iterator[Finding]:
    """Whether the models that are set are known, and which keys lie unused."""
    market = Market(preferences, catalog)
    if not preferences.models:
        yield Finding(
            "note", "models", "none is set, so nothing has a ceiling and nothing is routed", "set `models` in the preferences"
        )
    for key, choice in preferences.models.items():
        ceiling = market.ceiling(choice, key)
        if not ceiling.known:
            near = catalog.nearest(choice.model)
            hint = f"the nearest name is {near}" if near else "describe it under `catalog`"
            yield Finding(
                "note", f"models.{key}", f"{choice.model} is not in the catalogue: used as named, never rerouted", hint
            )
        elif ceiling.model.price is None:
            yield Finding(
                "note",
                f"models.{key}",
                f"{ceiling.model.ref} has no known price: nothing is known to be cheaper",
                "give one under `catalog`",
            )
    yield from _keys(preferences, market)
    for name, provider in unused_keys(os.environ, preferences, catalog):
        yield Finding(
            "note", "keys", f"{name} is set, but {provider} takes no part", f"list {provider} under `providers` to let it"
        )


def _keys(preferences: Preferences, market: Market) -> Iterator[Finding]:
    """Providers that take part and have no key: an agent with a login of its own may not need one, others do."""
    known = providers(preferences)
    for name in sorted(market.taking_part):
        provider = known.get(name)
        if provider is not None and not provider.local and provider.key_envs and not provider.key_in(os.environ):
            text = f"{name} takes part, and {' or '.join(provider.key_envs)} is not set"
            yield Finding("note", "keys", text, "set it, unless the agent has a login of its own")


def _agents(preferences: Preferences) -> Iterator[Finding]:
    for name in AGENTS:
        if name == "command" and not preferences.agents.get("command"):
            continue
        try:
            missing = open_agent(name, preferences).check()
        except StepdownError as error:
            missing = str(error)
        if missing:
            # An agent that nobody asked for may well be missing.
            yield Finding("wrong" if name in preferences.agents else "note", f"agent {name}", missing)
        else:
            yield Finding("ok", f"agent {name}", "ready")


def _gateway(root: Path) -> Iterator[Finding]:
    """The gateway that runs for this project, and agents that are configured to need one."""
    there = glance(root)
    if there is not None:
        yield Finding("ok", "gateway", str(there))
    answering = {one.url for one in running()}
    connections = Connections(home() / "connected")
    for name in CLIENTS:
        try:
            connected = connections.known(name)
        except StepdownError as error:
            yield Finding("wrong", f"gateway for {name}", str(error))
            continue
        urls = connected.urls if connected else frozenset[str]()
        if urls and not urls & answering:
            fix = f"stepdown serve --port {urlsplit(min(urls)).port}, or stepdown connect {name} --undo"
            yield Finding("wrong", f"gateway for {name}", f"it is connected to {min(urls)}, and no gateway answers there", fix)


def _git(root: Path) -> Finding:
    if shutil.which("git") is None:
        return Finding("note", "git", "is not installed: work cannot be set apart or undone", "install git")
    inside = any((parent / ".git").exists() for parent in (root, *root.parents))
    return Finding("ok", "git", "here") if inside else Finding("note", "git", "this project is not in a repository", "git init")
