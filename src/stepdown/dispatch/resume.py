"""What a run that died has left behind, put in order before the next begins: nothing is paid twice, nothing stays reserved.

Called by the process that holds the plan's lock (`lock.only_run`): an attempt that never ended has nobody working on it.
"""

import os
import signal
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.records import base_name
from stepdown.ledger.port import GATEWAY
from stepdown.ledger.records import Outcome, Record, Use
from stepdown.plans.source import pending
from stepdown.units import Tokens, Unit

_COUNTED: Final = "as the provider counted"


@runtime_checkable
class Accountant(Protocol):
    """An agent that can say afterwards what an attempt used, by the key it was started with."""

    async def used(self, attempt: str) -> tuple[Tokens, int] | None:
        """Tokens and requests; None where it cannot know."""
        ...


async def settle_left_behind(dispatcher: Dispatcher) -> list[str]:
    """Settle every unfinished attempt of the plan; a line for each, saying what became of it."""
    unfinished = dispatcher.ledger.unfinished(dispatcher.plan.project)
    # What passes through a gateway is not this run's: it may be running, and puts its own past in order.
    left = [record for record in unfinished if record.source == "run" and record.attempt.agent != GATEWAY]
    end_left_behind({record.attempt.key for record in left})
    said = [await _settle(dispatcher, record) for record in left]
    _forget_others(dispatcher)
    return said


def end_left_behind(keys: set[str]) -> int:
    """End agents that outlived the run that started them, so that no two work in one tree; how many processes that were.

    They are known by ``STEPDOWN_ATTEMPT`` in their environment, which holds a key that no other attempt has. Only where the
    system shows it (``/proc``).
    """
    marks = [f"STEPDOWN_ATTEMPT={key}\0".encode() for key in keys if key]
    ended = 0
    for entry in Path("/proc").glob("[0-9]*") if marks else ():
        try:
            environment = (entry / "environ").read_bytes() + b"\0"
            if int(entry.name) != os.getpid() and any(mark in environment for mark in marks):
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
        except OSError:
            continue  # it has ended, or is somebody else's
    return ended


def _forget_others(dispatcher: Dispatcher) -> None:
    """Forget snapshots of units that are not pending any more; a pending unit's is where it goes on from."""
    waiting = {f"refs/stepdown/{base_name(unit)}" for unit in pending(dispatcher.plan.units())}
    for ref in dispatcher.tree.kept():
        if ref.startswith("refs/stepdown/unit/") and ref not in waiting:
            dispatcher.tree.release_all(ref.removeprefix("refs/stepdown/"))


async def _settle(dispatcher: Dispatcher, record: Record) -> str:
    attempt = record.attempt
    use, source = await _used(dispatcher, record)
    unit = _unit(dispatcher, attempt.unit_type, attempt.unit_id)
    done = unit is not None and (unit.done or use.ended) and not _lacks(dispatcher, unit)
    if done and unit is not None and not unit.done:
        dispatcher.plan.mark_done(unit)
    # Of an agent that says what it used only when it is done, a crash leaves nothing: that is unknown, not zero.
    seen = use.requests > 0 or use.tokens.total > 0 or source == _COUNTED
    ceiling = dispatcher.router.catalog.resolve(attempt.ceiling) if attempt.ceiling and seen else None
    message = "" if done else "its process ended before it did"
    outcome = Outcome(
        failure=None if done else "cancelled",
        message=message,
        evidence=(f"resumed: {source}",),
        tokens=use.tokens if seen else None,
        cost_usd=use.cost_usd if seen else None,
        cost_source="priced" if seen and use.cost_usd is not None else "unknown",
        ceiling_cost_usd=None if ceiling is None else ceiling.cost(use.tokens),
        requests=use.requests or None,
        finished=dispatcher.clock(),
    )
    dispatcher.ledger.settle(record.id, outcome)
    name = f"{attempt.unit_type} {attempt.unit_id}"
    return f"{name} was done when its run died: recorded" if done else f"{name} was under way when its run died: it runs again"


async def _used(dispatcher: Dispatcher, record: Record) -> tuple[Use, str]:
    """What the attempt used: as the agent's provider counts it where it can be asked, else as far as the ledger was told."""
    if isinstance(dispatcher.agent, Accountant) and record.attempt.key:
        counted = await dispatcher.agent.used(record.attempt.key)
        if counted is not None:
            tokens, requests = counted
            model = dispatcher.router.catalog.find_ref(record.attempt.model)
            cost = None if model is None else model.cost(tokens)
            return msgspec.structs.replace(record.so_far, tokens=tokens, requests=requests, cost_usd=cost), _COUNTED
    return record.so_far, "as far as was seen; a request under way may be missing"


def _unit(dispatcher: Dispatcher, unit_type: str, unit_id: str) -> Unit | None:
    units = dispatcher.plan.units()
    return next((unit for unit in units if (unit.type, unit.id) == (unit_type, unit_id)), None)


def _lacks(dispatcher: Dispatcher, unit: Unit) -> bool:
    """Whether a file is missing that is the point of the unit."""
    if unit.type == "execute-task":
        return False
    return any(not (dispatcher.workdir / path).is_file() for path in dispatcher.plan.outputs(unit))
