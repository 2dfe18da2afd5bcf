"""What all drivers do alike: read the tasks, time each decision, write the answers.

All times are the processor's, all threads together: none of these decisions waits for anything, and on a shared machine the
clock on the wall would measure its other users.
"""

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

WARM_UP = "Rename the variable `x` to `count` in one file."
"""Decided once before anything is timed: what a router loads at its first decision is told apart from what each one takes."""


async def serve(
    decide: Callable[[str], Awaitable[str]], *, version: str, import_ms: float, note: Callable[[], str] = lambda: ""
) -> None:
    """Answer every task on standard input.

    Args:
        decide: a task's text → its tier.
        version: of the router.
        import_ms: processor milliseconds its import took.
        note: what a reader of its answers must know; asked after the first decision.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # routers greet and warn on standard output
    started = time.process_time()
    await decide(WARM_UP)
    first_ms = (time.process_time() - started) * 1e3
    with answers:
        head = {"version": version, "import_ms": import_ms, "first_ms": first_ms, "note": note()}
        answers.write(json.dumps(head) + "\n")
        for line in sys.stdin:
            task = json.loads(line)
            started = time.process_time()
            tier = await decide(task["text"])
            took = (time.process_time() - started) * 1e6
            answers.write(json.dumps({"id": task["id"], "tier": tier, "decide_us": took}) + "\n")
