"""The shipped router without a past, beside the others for the time it takes. What it learns in a replay is asked there.

The tier is that of the work, as the text alone has it.
"""

import asyncio
import importlib
import importlib.metadata
import time

from bench.others.drivers.wire import serve

CEILING = "claude-opus-4-6"


async def main() -> None:
    started = time.process_time()
    stepdown = importlib.import_module("stepdown")
    router_class = stepdown.Router  # the public names are imported when they are first used
    import_ms = (time.process_time() - started) * 1e3
    preferences = stepdown.Preferences(
        models={"default": stepdown.ModelChoice(CEILING)}, dynamic_routing=stepdown.DynamicRouting(enabled=True)
    )
    router = router_class(preferences, stepdown.Catalog.load())

    async def decide(text: str) -> str:
        title = next((line.strip() for line in text.splitlines() if line.strip()), "")
        return str(router.decide(stepdown.Unit("execute-task", title=title, plan=stepdown.PlanText(task=text))).tier)

    await serve(decide, version=importlib.metadata.version("stepdown"), import_ms=import_ms)


if __name__ == "__main__":
    asyncio.run(main())
