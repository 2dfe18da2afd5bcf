"""NVIDIA Switchyard's stage router; its setting is the confidence threshold.

It knows two models: efficient is light, capable is heavy. It reads tool results and progress, request by request; where they
say nothing it takes the picker's own side, ``efficient_first`` here as in its documentation.
"""

import asyncio
import importlib
import importlib.metadata
import os
import sys
import time

from bench.others.drivers.wire import serve

MODELS = {"efficient": ["light"], "capable": ["heavy"], "any": ["light", "heavy"]}


async def main(threshold: float) -> None:
    started = time.process_time()
    libsy = importlib.import_module("switchyard.libsy")
    algorithms = importlib.import_module("switchyard.libsy.algorithms")
    import_ms = (time.process_time() - started) * 1e3
    algorithm = algorithms.stage_router(picker="efficient_first", confidence_threshold=threshold)

    async def decide(text: str) -> str:
        request = {"model": "auto", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
        async for step in algorithm.run_stream(request, MODELS):
            if isinstance(step, libsy.Step.CallModel):
                step.call.fail(ConnectionError("this replay calls no model"))
            else:
                return str(step.outcome.selected_model_ids[0])
        raise RuntimeError("the router ended without a choice")

    await serve(decide, version=importlib.metadata.version("nemo-switchyard"), import_ms=import_ms)
    os._exit(0)  # all is answered; with 0.3.0 an ordinary end crashes now and then, in its native threads


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
