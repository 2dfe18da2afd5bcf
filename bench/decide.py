"""``python -m bench.decide``: how long one decision takes, on one core, introspection included.

A unit with a 20 KB task plan, 100 models taking part, a ledger's worth of expectations. Every call gets a plan text of its
own, so that nothing could be remembered from the call before. Side by side: the same with an empty plan, and reading the plan's
20 KB with the YAML parser, which is what a router that parses front matter the usual way pays.
"""

import gc
import statistics
import time
from collections.abc import Callable

import yaml

from stepdown.catalog import Catalog
from stepdown.decision import Context
from stepdown.ledger.records import Expectation
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences, ProviderSettings
from stepdown.routing import Router
from stepdown.signals import introspect
from stepdown.units import KNOWN_TYPES, PlanText, Tokens, Unit

CALLS = 2_000
MODELS = 100


def plan_text(seed: int, size: int = 20_000) -> str:
    """A task plan of `size` characters shaped like real ones: front matter, prose, long steps, code blocks, outputs."""
    front = f"---\nestimated_steps: {4 + seed % 3}\nestimated_files: {3 + seed % 2}\n---\n"
    head = f"{front}\n# T{seed}: Move import {seed}\n"
    prose = "The importer reads rows and keeps the old path alive until `legacy_import` is gone. It must not lock the table. "
    step = "Change `src/importer/part.py` so that rows are read in batches, and say in the log how many were skipped and why. "
    code = "```python\n" + "for row in rows:\n    yield convert(row, strict=True)\n" * 30 + "```\n"
    outputs = "".join(f"- `src/importer/part{number}.py` - reads in batches\n" for number in range(1, 5))
    body = f"{head}\n## Description\n\n{prose * 12}\n\n## Steps\n\n"
    tail = f"\n## Must-Haves\n\n- [ ] {step}\n\n## Expected Output\n\n{outputs}"
    each = step * 7 + "\n" + code
    number = 1
    while len(body) + len(each) + len(tail) < size:
        body += f"{number}. {each}"
        number += 1
    return body + "x" * (size - len(body) - len(tail)) + tail


def market() -> tuple[Preferences, Catalog]:
    """Preferences under which exactly `MODELS` models below the ceiling take part."""
    extra: dict[str, dict[str, object]] = {
        f"bench-{number}": {
            "provider": "bench",
            "tier": "standard",
            "context": 400_000,
            "output": 64_000,
            "features": ["tools"],
            "price": {"input": 0.5 + number / 100, "output": 2 + number / 50},
        }
        for number in range(MODELS)
    }
    preferences = Preferences(
        models={"default": ModelChoice("claude-opus-4-6")},
        dynamic_routing=DynamicRouting(enabled=True),
        providers={"bench": ProviderSettings()},
        catalog=extra,
    )
    return preferences, Catalog.load(extra)


def measure(call: Callable[[int], object]) -> list[float]:
    """Microseconds of each of `CALLS` calls, after a warm-up."""
    for number in range(100):
        call(number)
    gc.collect()
    times = []
    for number in range(CALLS):
        start = time.perf_counter_ns()
        call(number)
        times.append((time.perf_counter_ns() - start) / 1000)
    return sorted(times)


def main() -> None:
    preferences, catalog = market()
    router = Router(preferences, catalog)
    texts = [plan_text(seed) for seed in range(CALLS)]
    units = [
        Unit("execute-task", f"M001/S01/T{seed}", "Move the import", plan=PlanText(task=text))
        for seed, text in enumerate(texts)
    ]
    empty = Unit("execute-task", "M001/S01/T01", "Move the import")
    learned = {
        (unit_type, f"bench/bench-{number}"): Expectation(
            tokens=Tokens(input=1000, output=9000, cache_read=10**6), requests=20, units=30
        )
        for unit_type in KNOWN_TYPES
        for number in range(20)
    }
    context = Context(expectations=learned)
    rows = {
        "decide, 20 KB plan": measure(lambda n: router.decide(units[n], context)),
        "the same, another ledger each time": measure(lambda n: router.decide(units[n], Context(expectations=dict(learned)))),
        "decide, no plan": measure(lambda _: router.decide(empty, context)),
        "introspection of 20 KB alone": measure(lambda n: introspect(units[n], router.policy)),
        "YAML front matter + split lines only": measure(
            lambda n: (yaml.safe_load(texts[n].split("---")[1]), texts[n].splitlines())
        ),
    }
    considered = len(router.decide(units[0], context).candidates)
    print(f"{CALLS} calls each, {considered} candidates on the receipt, plan texts of {len(texts[0]):,} bytes")
    print(f"{'':40} {'median':>9} {'p99':>9} {'max':>9}   microseconds")
    for name, times in rows.items():
        print(f"{name:40} {statistics.median(times):9.0f} {times[int(len(times) * 0.99)]:9.0f} {times[-1]:9.0f}")


if __name__ == "__main__":
    main()
