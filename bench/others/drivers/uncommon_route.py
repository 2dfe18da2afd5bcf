"""UncommonRoute; its setting is the routing mode. SIMPLE is light, MEDIUM is standard, COMPLEX is heavy.

One of its three signals is an embedding by BAAI/bge-small-en-v1.5, which its package does not hold and which is never fetched
here. Where that model is in the cache that HF_HOME names, it votes; else it abstains, and the note says so.
"""

import asyncio
import importlib
import importlib.metadata
import os
import sys
import time

from bench.others.drivers.wire import serve

TIERS = {"SIMPLE": "light", "MEDIUM": "standard", "COMPLEX": "heavy"}
OWN_MODELS = ["deepseek/deepseek-chat", "anthropic/claude-sonnet-4.6", "anthropic/claude-opus-4.6"]
"""Models it knows, one for each of its tiers."""


async def main(mode: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    started = time.process_time()
    package = importlib.import_module("uncommon_route")
    import_ms = (time.process_time() - started) * 1e3
    # Without this every decision starts a thread that tries to fetch a leaderboard. It ranks the models of a tier and has no
    # part in choosing the tier.
    leaderboard = importlib.import_module("uncommon_route.benchmark").get_benchmark_cache()
    leaderboard.refresh_if_stale = lambda **_: False

    reasons: list[str] = []

    async def decide(text: str) -> str:
        decision = package.route(
            text,
            messages=[{"role": "user", "content": text}],
            available_models=OWN_MODELS,
            routing_mode=mode,
            record_lifecycle=False,
        )
        reasons.append(str(decision.reasoning))
        return TIERS[str(decision.tier.value)]

    def note() -> str:
        abstained = "v2:embedding=None" in reasons[-1]
        return (
            "its embedding model is not here, so one of its three signals abstains" if abstained else "with its embedding model"
        )

    await serve(decide, version=importlib.metadata.version("uncommon-route"), import_ms=import_ms, note=note)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
