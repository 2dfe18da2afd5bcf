"""What is told of an attempt while it is under way."""

from pathlib import Path

from stage import Actor, Heard, make_plan, task

from stepdown.agents.port import Event, Finished, Job, Step, Used
from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.trial import Several
from stepdown.ledger.memory import MemoryLedger
from stepdown.preferences import ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import Tokens

TOKENS = Tokens(input=1000, output=100)


def works(_: Job) -> list[Event]:
    return [Used(TOKENS), Step("tool", "write_file"), Used(TOKENS), Finished()]


async def test_all_of_several_watchers_are_told_what_is_used_while_it_is_used(tmp_path: Path) -> None:
    plan, one, other = make_plan(tmp_path), Heard(), Heard()
    router = Router(Preferences(models={"default": ModelChoice("claude-sonnet-4-6")}), Catalog.load())
    await Dispatcher(router, Actor(works), MemoryLedger(), plan).dispatch(task(plan), Several(one, other))
    assert one.said == other.said
    assert [line.split()[0] for line in one.said] == ["starts", "step", "ends"]
    assert one.uses == other.uses
    assert [(use.tokens.total, use.requests, use.ended) for use in one.uses] == [
        (1100, 1, False),
        (2200, 2, False),
        (2200, 2, True),
    ]
    assert one.uses[-1].cost_usd == 2 * (1000 * 3 + 100 * 15) / 1e6  # claude-sonnet-4-6: 3 and 15 USD per million
    Several(one, other).alert("a budget")
    assert one.said[-1] == other.said[-1] == "alert: a budget"
