"""LiteLLM's complexity router; its setting is ``heuristic`` or ``heuristic_v2``, everything else as its documentation has it.

Its four tiers: SIMPLE is light, MEDIUM is standard, COMPLEX and REASONING are heavy. Its stall detector is on; in a first
request, which has no tool calls, it has nothing to look at.
"""

import asyncio
import importlib
import importlib.metadata
import os
import sys
import time

from bench.others.drivers.wire import serve

TIERS = {"SIMPLE": "light", "MEDIUM": "standard", "COMPLEX": "heavy", "REASONING": "heavy"}


async def main(classifier: str) -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the price list it ships, not one from the network
    started = time.process_time()
    litellm = importlib.import_module("litellm")
    complexity = importlib.import_module("litellm.router_strategy.complexity_router.complexity_router")
    import_ms = (time.process_time() - started) * 1e3

    # The models are never called: each is named for the tier it stands for.
    models = [
        {"model_name": tier, "litellm_params": {"model": f"openai/{tier}", "api_key": "unused"}}
        for tier in dict.fromkeys(TIERS.values())
    ]
    router = complexity.ComplexityRouter(
        model_name="auto",
        litellm_router_instance=litellm.Router(model_list=models),
        default_model="standard",
        complexity_router_config={"tiers": TIERS, "classifier_type": classifier, "stall_escalation_enabled": True},
    )

    async def decide(text: str) -> str:
        chosen = await router.async_pre_routing_hook(
            model="auto", request_kwargs={"metadata": {}}, messages=[{"role": "user", "content": text}]
        )
        return str(chosen.model)

    await serve(decide, version=importlib.metadata.version("litellm"), import_ms=import_ms)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
