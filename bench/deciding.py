"""``python -m bench.deciding``: what the gateway takes to read, recognise, classify, price and decide a request. CPU only.

A conversation of Claude Code's shape: 141 tools, about 240 KB, thinking that its model signed, a person's turn every tenth
time. Each request is read and decided as in mode ``full``; nothing is sent. Medians and 99th
percentiles in milliseconds of CPU time.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stepdown.decision import Context
from stepdown.gateway.desk import Desk
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.world import World
from stepdown.ledger.records import Person
from stepdown.preferences import Preferences
from stepdown.preferences.schema import DynamicRouting, Gateway, ModelChoice
from stepdown.units import Tier, Tokens, Unit

_TOOLS: Final = 141
_BYTES: Final = 240_000
_WARM_UP: Final = 50


class Nothing:
    """A past in which nothing has passed."""

    _context = Context()

    def context(self, project: str, person: Person | None = None) -> Context:  # noqa: ARG002 - as in Past
        """Of a world without one."""
        return self._context

    def unseen_usd(self, project: str) -> float:  # noqa: ARG002 - likewise
        """Nothing."""
        return 0.0

    def unit_usd(self, project: str, unit: Unit) -> float:  # noqa: ARG002 - likewise
        """Nothing."""
        return 0.0


def conversation(requests: int) -> list[bytes]:
    """Requests of one session: all that was said before, and then a person's turn or a round of tools."""
    tools = [
        {"name": f"mcp__server__tool_{number}", "description": "Does one thing well. " * 20, "input_schema": {"type": "object"}}
        for number in range(_TOOLS)
    ]
    fixed = len(msgspec.json.encode(tools))
    history: list[dict[str, Any]] = []
    bodies: list[bytes] = []
    filler = "x = compute(total, rate)  # as before\n" * 30
    while len(msgspec.json.encode(history)) < _BYTES - fixed - 12_000:
        _round(history, 10_000 + len(history), filler)
    for number in range(requests):
        last: list[dict[str, Any]] = []
        if number % 10 == 0:
            last.append({"role": "user", "content": f"Now write the parser for part {number} and its tests, please."})
        else:
            _round(last, number, filler[:400])
        body = {
            "model": "claude-opus-4-6",
            "max_tokens": 32_000,
            "stream": True,
            "system": [{"type": "text", "text": "You are an agent. " * 200}],
            "tools": tools,
            "thinking": {"type": "adaptive"},
            "metadata": {"user_id": '{"session_id":"s"}'},
            "messages": [*history, *last],
        }
        bodies.append(msgspec.json.encode(body))
    return bodies


def _round(history: list[dict[str, Any]], number: int, filler: str) -> None:
    name = f"toolu_{number:06}"
    thought = {"type": "thinking", "thinking": "What is next.", "signature": f"c2lnbmVk{number:08}" * 8}
    call = {"type": "tool_use", "id": name, "name": "Bash", "input": {"command": f"make {number}"}}
    history.append({"role": "assistant", "content": [thought, call]})
    history.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": filler}]})


def measure(requests: int) -> dict[str, list[float]]:
    """CPU seconds per request: reading, deciding, both; those with which a unit begins by themselves."""
    routing = DynamicRouting(enabled=True, tier_models={Tier.STANDARD: ModelChoice("claude-sonnet-4-6")})
    world = World.of(Preferences(dynamic_routing=routing, gateway=Gateway(mode="full")), {})
    desk = Desk(world, Nothing(), project="/p", environ={})
    wire = WIRES["messages"]
    headers: Mapping[str, str] = {"x-claude-code-session-id": "s", "x-api-key": "k", "anthropic-beta": "claude-code-20250219"}
    found: dict[str, list[float]] = {"reading": [], "deciding": [], "both": [], "both, where a unit begins": []}
    bodies = conversation(requests + _WARM_UP)
    for number, body in enumerate(bodies):
        begun = time.process_time()
        envelope = wire.read(body, headers)
        read = time.process_time()
        route = desk.route(wire, envelope, headers)
        decided = time.process_time()
        if route.going is not None:
            used = Tokens(input=10, cache_read=envelope.prompt, cache_write=500, output=300)
            route.going.talk.answered(
                route.hops[0].model.ref, used, "tool_use", desk.now + 300, moved=route.decision.downgraded
            )
        if number >= _WARM_UP:
            found["reading"].append(read - begun)
            found["deciding"].append(decided - read)
            found["both"].append(decided - begun)
            if number % 10 == 0:
                found["both, where a unit begins"].append(decided - begun)
    size = f"{len(bodies[_WARM_UP]):,} to {len(bodies[-1]):,} bytes"
    print(f"{requests} requests of {size}, {_TOOLS} tools; {len(world.catalog)} models\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.deciding", description="What a decision takes.")
    parser.add_argument("--requests", type=int, default=2_000, help="how many (%(default)s)")
    found = measure(parser.parse_args().requests)
    print("| | median ms | p99 ms |")
    print("|---|---|---|")
    for name, times in found.items():
        times.sort()
        print(f"| {name} | {1e3 * times[len(times) // 2]:.2f} | {1e3 * times[int(len(times) * 0.99)]:.2f} |")


if __name__ == "__main__":
    main()
