"""A plan's units one after another, with the hooks around them, until nothing is pending, one fails or the budget is full.

The plan is read anew after each unit, since a unit may have written the next ones, and its user may have changed it.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from stepdown.alerts import Alert, Alerts, is_news
from stepdown.dispatch import hooks
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.dispatch.trial import Done, Quiet, Watcher
from stepdown.errors import BudgetError, PlanError
from stepdown.plans.source import pending
from stepdown.units import Unit

_QUIET = Quiet()


async def run_plan(
    dispatcher: Dispatcher,
    *,
    only: str = "",
    max_units: int | None = None,
    watcher: Watcher = _QUIET,
    go_on: Callable[[str], bool] = lambda _: False,
    alerted: Callable[[Alert], None] = lambda _: None,
) -> AsyncIterator[Done]:
    """Run pending units one after another; stops after the first that fails.

    Args:
        dispatcher: runs them; its plan says which.
        only: run just the unit (or units) with this id, or this ``type id``.
        max_units: run at most so many; hooks and skipped units do not count.
        watcher: is told what happens.
        go_on: asked when a budget is full and ``budget_enforcement`` is ``pause``: whether to run over it.
        alerted: called when a budget has passed one of its marks, once each per window.

    Raises:
        PlanError: `only` names no pending unit.
        BudgetError: a hard budget is used up and nobody said to go on.
    """
    tried: set[tuple[str, str]] = set()
    ran = 0
    alerts = Alerts(dispatcher.plan.project)
    dispatch = _asking(dispatcher, watcher, go_on)
    while max_units is None or ran < max_units:
        waiting = [unit for unit in pending(dispatcher.plan.units()) if (unit.type, unit.id) not in tried]
        if not tried:
            waiting = selected(waiting, only)
        waiting = [unit for unit in waiting if not only or is_called(unit, only)]
        if not waiting:
            return
        unit = waiting[0]
        tried.add((unit.type, unit.id))
        done = await dispatch(unit)
        yield done
        _say_due(alerts, dispatcher, watcher, alerted)
        if done.failed:
            return
        if done.skipped:
            continue
        ran += 1
        async for after in run_hooks(dispatcher, done.unit, watcher, go_on=go_on):
            yield after
            if after.failed and not after.unit.is_hook:
                return
        _say_due(alerts, dispatcher, watcher, alerted)


def _asking(dispatcher: Dispatcher, watcher: Watcher, go_on: Callable[[str], bool]) -> Callable[..., Awaitable[Done]]:
    """`Dispatcher.dispatch`, which asks whether to go on where a budget is full and ``budget_enforcement`` is ``pause``."""

    async def dispatch(unit: Unit, **more: Any) -> Done:
        try:
            return await dispatcher.dispatch(unit, watcher, **more)
        except BudgetError as error:
            if dispatcher.over_budget or dispatcher.preferences.budget_enforcement != "pause" or not go_on(str(error)):
                raise
            dispatcher.over_budget = True
            return await dispatcher.dispatch(unit, watcher, **more)

    return dispatch


async def run_hooks(
    dispatcher: Dispatcher, unit: Unit, watcher: Watcher = _QUIET, *, go_on: Callable[[str], bool] = lambda _: False
) -> AsyncIterator[Done]:
    """The hooks that are due after `unit`, and the unit again where one asks for it. A hook's failure is its own.

    Raises:
        BudgetError: as `run_plan`.
    """
    dispatch = _asking(dispatcher, watcher, go_on)

    def exists(name: str) -> bool:
        return dispatcher.plan.beside(unit, name).is_file()

    def cycles(name: str) -> int:
        records = dispatcher.ledger.of_unit(dispatcher.plan.project, unit.id)
        return sum(record.attempt.unit_type == f"hook/{name}" and record.attempt.number == 1 for record in records)

    due = hooks.after(unit, dispatcher.preferences.post_unit_hooks, cycles, exists)
    while due:
        hook = due.pop(0)
        writes = _artifact(dispatcher, unit, hook.hook.artifact)
        wanted = f"\n\n## Expected Output\n\n- `{writes[0]}`\n" if writes else ""
        yield await dispatch(hook.unit, prompt=hook.prompt + wanted, writes=writes)
        if hooks.asks_again(hook.hook, cycles(hook.hook.name), exists):
            asked = dispatcher.plan.beside(unit, hook.hook.retry_on)
            note = f"## What {hook.hook.name} found\n\n{asked.read_text(encoding='utf-8', errors='replace')[:20_000]}"
            asked.unlink()
            again = await dispatch(unit, cause="again", note=note)
            yield again
            if again.failed:
                return
            due = hooks.after(unit, dispatcher.preferences.post_unit_hooks, cycles, exists)


def _artifact(dispatcher: Dispatcher, unit: Unit, name: str) -> tuple[str, ...]:
    """Where a hook's artifact belongs, relative to the work's directory; nothing where the hook writes none."""
    if not name:
        return ()
    return (Path(os.path.relpath(dispatcher.plan.beside(unit, name), dispatcher.workdir)).as_posix(),)


def _say_due(alerts: Alerts, dispatcher: Dispatcher, watcher: Watcher, alerted: Callable[[Alert], None]) -> None:
    """Say what nobody has said yet of the budgets as they are now."""
    context = dispatcher.context()
    for alert in alerts.due(context.meters, context.now, dispatcher.router.policy):
        if is_news(alert, dispatcher.ledger):
            watcher.alert(alert.message)
            alerted(alert)
        alerts.said(alert)


def selected(units: Sequence[Unit], only: str) -> list[Unit]:
    """Those of the pending `units` that `only` names, by id or ``type id``; all of them where it is "".

    Raises:
        PlanError: it names none.
    """
    chosen = [unit for unit in units if not only or is_called(unit, only)]
    if only and not chosen:
        raise PlanError(f"no pending unit is called '{only}'; `stepdown plan` lists them")
    return chosen


def is_called(unit: Unit, name: str) -> bool:
    """Whether `name` is the unit's id or its ``type id``."""
    return name in {unit.id, f"{unit.type} {unit.id}"}
