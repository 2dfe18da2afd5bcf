"""What the audit predicts, beside what `simulate` says of the same units: one plan, carried out once without routing.

The real Claude Code works on a copy of ``examples/todo-api`` against the practice provider, every unit on the model that the
preferences name. Its logs and the ledger then tell of the same units, and each is asked what routing would have saved.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.audit.running import NotHere
from stepdown.practice.provider import PracticeProvider

ROOT = Path(__file__).resolve().parents[2]
_LOCAL = ROOT / "tests/journeys/node_modules/.bin"


def compare(scratch: Path) -> str:
    """Both answers, as a table.

    Raises:
        NotHere: Claude Code is not installed.
    """
    claude = shutil.which("claude", path=os.pathsep.join([str(_LOCAL), os.environ.get("PATH", "")]))
    if claude is None:
        raise NotHere("Claude Code is neither in PATH nor made by `make clients`")
    project, env = scratch / "todo-api", _environment(scratch, claude)
    shutil.copytree(ROOT / "examples/todo-api", project)
    spent = asyncio.run(_carried_out(project, env))
    audit = _said(["audit", "--json"], project, env)
    simulated = _said(["simulate", "--enabled", "--json"], project, env)
    return _table(spent, audit, simulated)


def _environment(scratch: Path, claude: str) -> dict[str, str]:
    home = scratch / "predicts-home"
    home.mkdir(parents=True)
    return {
        "PATH": os.pathsep.join([str(Path(claude).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "STEPDOWN_HOME": str(home / ".stepdown"),
        "ANTHROPIC_API_KEY": "practice",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


async def _carried_out(project: Path, env: Mapping[str, str]) -> tuple[int, int]:
    """Run the plan with routing off; requests and tokens by the provider's own log."""
    async with PracticeProvider(latency=0) as provider:
        preferences = project / ".gsd/PREFERENCES.md"
        text = preferences.read_text("utf-8").replace("enabled: true", "enabled: false")
        house = (
            f"agents:\n  claude: {{permission_mode: acceptEdits}}\nproviders:\n  anthropic: {{base_url: '{provider.url}'}}\n"
        )
        preferences.write_text(text.replace("budget_ceiling", f"{house}budget_ceiling"), "utf-8")
        command = [sys.executable, "-m", "stepdown", "run", str(project), "--yes"]
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise SystemExit("the plan could not be carried out")
        answered = [one for one in provider.log if one.path == "/v1/messages"]
        return len(answered), sum(one.tokens.total for one in answered)


def _said(arguments: list[str], project: Path, env: Mapping[str, str]) -> Any:
    command = [sys.executable, "-m", "stepdown", *arguments]
    done = subprocess.run(command, env=dict(env), cwd=project, capture_output=True, check=True)
    return json.loads(done.stdout)


def _table(provider: tuple[int, int], audit: Any, simulated: Any) -> str:
    delegated = audit["routing"][0]
    tokens = sum(audit["total"]["tokens"].values())
    recorded = simulated["recorded"]
    moved = {line["tier"]: (line["then"], line["now"]) for line in simulated["tiers"]}
    rows = [
        ("units", f"{audit['total']['units']}", f"{recorded['runs']}"),
        ("requests (the provider's own log: " + f"{provider[0]})", f"{audit['total']['requests']}", ""),
        (f"tokens (the provider's own log: {provider[1]:,})", f"{tokens:,}", ""),
        ("spent", f"${audit['total']['usd']:.4f}", f"${recorded['then_usd']:.4f}"),
        ("units that would have moved", f"{delegated['moved']}", f"{simulated['moved']}"),
        ("saved by routing", f"${delegated['net_usd']:.4f}", f"${-recorded['difference_usd']:.4f}"),
        ("tiers, then and now", "", ", ".join(f"{tier} {then} -> {now}" for tier, (then, now) in moved.items())),
    ]
    lines = ["| | audit of the logs | simulate on the ledger |", "|---|---|---|"]
    lines += [f"| {name} | {one} | {other} |" for name, one, other in rows]
    share = delegated["net_usd"] / -recorded["difference_usd"] - 1 if recorded["difference_usd"] else 0.0
    lines.append(f"\nThe audit says {share:+.1%} of what simulate says.")
    return "\n".join(lines)
