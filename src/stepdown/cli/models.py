"""``stepdown models``: the catalogue, with what may take part in this project."""

from pathlib import Path

import click
import msgspec

from stepdown.candidates import Market
from stepdown.catalog import Model
from stepdown.cli.arguments import TREE, directory
from stepdown.cli.screen import print_json, print_table, say
from stepdown.cli.trail import leave_word
from stepdown.cli.workspace import read_preferences
from stepdown.errors import CatalogError
from stepdown.ledger import open_ledger
from stepdown.report.tables import Column
from stepdown.units import Tier


@click.command("models", short_help="The models there are.")
@click.argument("name", required=False)
@click.option("--project", type=TREE, default=".", help="Whose preferences apply; default: here.")
@click.option("--tier", type=click.Choice([tier.value for tier in Tier]), help="Only this tier.")
@click.option("--provider", default="", help="Only this provider.")
@click.option("--all", "everything", is_flag=True, help="Also models that are no longer current.")
@click.option("--unblock", metavar="MODEL|all", default="", help="Let a model be used again that its provider rejected.")
@click.option("--json", "json_", is_flag=True, help="A JSON list.")
def command(
    *, name: str | None, project: Path, tier: str | None, provider: str, everything: bool, unblock: str, json_: bool
) -> None:
    """List the models of the catalogue, or show what is known of the model NAME and where it is known from."""
    if unblock:
        with open_ledger() as ledger:
            cleared = ledger.unblock(None if unblock == "all" else unblock)
            if cleared:
                leave_word(ledger, "unblocked", unblock)
        say(f"{cleared} {'model is' if cleared == 1 else 'models are'} no longer blocked.")
        return
    preferences, catalog = read_preferences(directory(project))
    taking_part = Market(preferences, catalog).taking_part
    if name is not None:
        model = catalog.resolve(name, provider)
        if model is None:
            near = catalog.nearest(name)
            raise CatalogError(f"{name} is not in the catalogue" + (f"; the nearest name is {near}" if near else ""))
        models = [model]
    else:
        models = [
            model
            for model in catalog.models
            if (everything or model.status == "current")
            and (tier is None or (model.tier is not None and model.tier.value == tier))
            and provider in {"", model.provider}
        ]
    if json_:
        rows = [{**msgspec.to_builtins(model), "takes_part": model.provider in taking_part} for model in models]
        print_json(rows)
    elif name is not None:
        say(*_details(models[0]))
    else:
        _print(models, taking_part)


def _print(models: list[Model], taking_part: frozenset[str]) -> None:
    columns = [
        Column(),
        Column(title="model"),
        Column(title="provider"),
        Column(title="context", right=True),
        Column(title="output", right=True),
        Column(title="$/M in", right=True),
        Column(title="$/M out", right=True),
        Column(title="cached", right=True),
        Column(title="takes part"),
    ]
    rows = [_row(model, taking_part) for model in sorted(models, key=_order)]
    print_table(columns, rows)
    say("", f"{len(models)} models. ? is unknown: never a guess, never zero.")


def _order(model: Model) -> tuple[int, str, str]:
    return -1 if model.tier is None else model.tier.rank, model.provider, model.id


def _row(model: Model, taking_part: frozenset[str]) -> tuple[str, ...]:
    rates = None if model.price is None else model.price.rates
    return (
        "[?]" if model.tier is None else model.tier.badge,
        model.id,
        model.provider,
        _count(model.context),
        _count(model.output),
        "?" if rates is None else f"{rates.input:g}",
        "?" if rates is None else f"{rates.output:g}",
        "?" if rates is None else "-" if rates.cache_read is None else f"{rates.cache_read:g}",
        "yes" if model.provider in taking_part else "",
    )


def _count(tokens: int | None) -> str:
    """128k, 1M."""
    if tokens is None:
        return "?"
    return f"{tokens / 1_000_000:g}M" if tokens >= 1_000_000 and tokens % 10_000 == 0 else f"{tokens / 1000:g}k"


def _details(model: Model) -> list[str]:
    """Everything that is known of one model, each fact with its source."""
    lines = [
        f"{'[?]' if model.tier is None else model.tier.badge} {model.id}, sold by {model.provider} ({model.status})",
        f"  context   {_count(model.context)} tokens, output at most {_count(model.output)}",
        f"  features  {', '.join(sorted(model.features)) or 'none known'}",
        f"  protocols {', '.join(model.protocols) or 'none known'}",
    ]
    if model.aliases:
        lines.append(f"  also      {', '.join(model.aliases)}")
    lines.append(f"  source    {model.source or 'unknown'}" + (f", checked {model.checked}" if model.checked else ""))
    if model.price is None:
        lines.append("  price     unknown")
        return lines
    price = model.price
    for above, rates in [(0, price.rates), *((tier.above, tier.rates) for tier in price.long_context)]:
        cached = "" if rates.cache_read is None else f", cache read {rates.cache_read:g}"
        cached += "" if rates.cache_write is None else f", cache write {rates.cache_write:g}"
        span = f" for prompts over {above:,} tokens" if above else ""
        lines.append(f"  price     input {rates.input:g}, output {rates.output:g}{cached} USD per million tokens{span}")
    dates = ", ".join(
        filter(None, (f"since {price.since}" if price.since else "", f"checked {price.checked}" if price.checked else ""))
    )
    lines.append(f"            {price.source}" + (f" ({dates})" if dates else ""))
    return lines
