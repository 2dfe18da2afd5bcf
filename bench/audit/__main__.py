"""``python -m bench.audit``: how fast logs are read, and what ccusage makes of the same ones. See `--help`."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.audit import logs, predicts, rules, side, speed, table
from bench.audit.running import CLAUDE, CODEX, NotHere, Sheet, environment, ours, run, sheet_of_ours, sheet_of_theirs, theirs
from stepdown.audit import sample

_MB = 1_000_000


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.audit", description="The audit of local logs, measured.")
    made.add_argument("--megabytes", type=int, default=1_000, help="of logs that are written to read them (%(default)s)")
    made.add_argument("--rounds", type=int, default=5, help="of which the median is taken (%(default)s)")
    made.add_argument("--ccusage", default="ccusage", metavar="PROGRAM", help="a path, or a name on PATH (%(default)s)")
    made.add_argument("--only", nargs="+", default=list(_SECTIONS), choices=list(_SECTIONS), help="some only")
    made.add_argument(
        "--home", type=Path, help="compare on the logs of this home too (work by GSD counts as Claude Code's there)"
    )
    return made


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def reading(said: argparse.Namespace, scratch: Path, ccusage: str) -> None:
    """How fast."""
    home = scratch / "home"
    say(f"writing {said.megabytes} MB of logs")
    size = logs.write(home, said.megabytes * _MB)
    before = os.getloadavg()[0]
    rows = speed.measure(home, scratch / "state", ccusage, said.rounds, say)
    files = sum(1 for _ in (home / ".claude").rglob("*.jsonl"))
    print(f"\n## Reading {size / _MB:,.0f} MB of Claude Code's logs in {files:,} files, {said.rounds} rounds\n")
    print(table.speed(rows, size))
    print(f"\nCores: {os.cpu_count()}; load average before {before:.1f}, after {os.getloadavg()[0]:.1f}.")


def counting(said: argparse.Namespace, scratch: Path, ccusage: str) -> None:
    """The same logs, both: the sample's, and a home's."""
    if not ccusage:
        return
    homes = {"the sample": scratch / "sample"}
    sample.write(homes["the sample"])
    for project in sample.PROJECTS:  # what GSD did there is not Claude Code's
        shutil.rmtree(homes["the sample"] / project, ignore_errors=True)
    if said.home is not None:
        homes[str(said.home)] = said.home
    for name, home in homes.items():
        print(f"\n## Side by side: {name}\n")
        for agent in (CLAUDE, CODEX):
            one, other = _sheets(ccusage, agent, home, scratch / "state")
            print(table.totals(agent, side.totals(one, other)), end="\n\n")


def differing(_: argparse.Namespace, scratch: Path, ccusage: str) -> None:
    """One rule at a time."""
    if not ccusage:
        return
    verdicts = []
    for agent, made in ((CLAUDE, list(rules.claude_rules())), (CODEX, list(rules.codex_rules()))):
        home = scratch / f"rules-{agent}"
        rules.write(made, home)
        verdicts += rules.judged(made, *_sheets(ccusage, agent, home, scratch / "state"))
    print(f"\n## Rules of counting\n\n{table.rules(verdicts)}")
    print(f"\n{sum(not one.expected for one in verdicts)} of {len(verdicts)} are not as the explanation says (!).")


def _sheets(ccusage: str, agent: str, home: Path, state: Path) -> tuple[Sheet, Sheet]:
    by_model = agent == CLAUDE
    env = environment(home, state)
    # What is not compared is looked for where nothing is.
    mine = env | {"CODEX_HOME" if by_model else "CLAUDE_CONFIG_DIR": str(state / "nothing"), "HOME": str(state)}
    state.mkdir(parents=True, exist_ok=True)
    said = run(theirs(ccusage, agent), env).said
    return sheet_of_theirs(said, by_model=by_model), sheet_of_ours(run(ours(), mine).said, by_model=by_model)


def predicting(_: argparse.Namespace, scratch: Path, __: str) -> None:
    """Beside `stepdown simulate`."""
    say("carrying out a plan with the real Claude Code: a minute or two")
    try:
        print(f"\n## What the audit predicts, and what simulate says\n\n{predicts.compare(scratch)}")
    except NotHere as problem:
        print(f"\nNot compared with simulate: {problem}")


_SECTIONS: dict[str, Callable[[argparse.Namespace, Path, str], None]] = {
    "speed": reading,
    "totals": counting,
    "rules": differing,
    "predicts": predicting,
}
"""What `--only` may name."""


def main(arguments: Sequence[str] | None = None) -> None:
    said = parser().parse_args(arguments)
    ccusage = said.ccusage
    try:
        program = theirs(ccusage, CLAUDE)[0]
        version = run([program, "--version"], environment(Path.home(), Path.home())).said.decode().strip()
        print(f"Compared with {version}.")
    except NotHere as problem:
        print(f"Not compared: {problem}")
        ccusage = ""
    with tempfile.TemporaryDirectory(prefix="stepdown-bench-", ignore_cleanup_errors=True) as scratch:
        for name in said.only:
            _SECTIONS[name](said, Path(scratch), ccusage)


if __name__ == "__main__":
    main()
