"""Other routers in the same replay: ``python -m bench.others [--setup] [--data DIR] [--light M --standard M --heavy M]``.

``--setup`` installs them, each into its own environment below ``--cache``, and ends; a router that does not install is skipped
with its reason. Without three models, those of the published tables that the data have are replayed. Input that cannot be used
is one line on standard error and exit code 2.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.others.ask import Answers, ask, own
from bench.others.install import BYTES, SECONDS, Installed, Refused, default_cache, home, install, installed, python
from bench.others.peers import PEERS
from bench.others.replay import OURS, UNCHECKED, compare
from bench.others.table import ASSUMED, Asked, as_json, facts, notes
from bench.routing.__main__ import count, default_data, fraction, guarded
from bench.routing.data import Dataset, Field, load, select
from bench.routing.replay import SEEDS
from bench.routing.table import about, table, title
from bench.routing.triples import Triple
from bench.routing.verifier import Verifier
from stepdown.errors import UsageError

TRIPLES: Final[Sequence[Triple]] = (
    ("gpt-5-mini-2025-08-07", "gpt-5-2025-08-07", "claude-opus-4-5-20251101"),
    ("glm-4.6", "gpt-5.1-2025-11-13", "gemini-3-pro-preview"),
    ("gpt-5-mini-2025-08-07", "gpt-5.1-2025-11-13", "gpt-5.1-codex"),
    ("claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-8"),
)
"""Models of the published tables: SWE-bench Verified (django), and the last of BashKit."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m bench.others", description="Replay what other routers choose.")
    made.add_argument("--setup", action="store_true", help="install the other routers, and end")
    made.add_argument("--cache", type=Path, default=default_cache(), help="where they are installed (%(default)s)")
    made.add_argument("--minutes", type=float, default=SECONDS / 60, help="one installation takes at most (%(default)g)")
    made.add_argument("--gigabytes", type=float, default=BYTES / 1e9, help="and needs at most (%(default)g)")
    made.add_argument("--data", type=Path, default=default_data(), help="a directory with NAME.csv and NAME_statements.json")
    for tier in ("light", "standard", "heavy"):
        made.add_argument(f"--{tier}", metavar="MODEL", help=f"the {tier} model, as the data name it")
    made.add_argument("--verifier-recall", type=fraction, default=0.7, metavar="R", help="share of failures noticed (0.7)")
    made.add_argument("--false-alarms", type=fraction, default=0.1, metavar="F", help="share of good work suspected (0.1)")
    made.add_argument("--seeds", type=count, default=SEEDS, metavar="N", help=f"draws to average over ({SEEDS})")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def set_up(said: argparse.Namespace) -> None:
    """Install what can be installed; say what cannot."""
    for peer in PEERS:
        print(f"{peer.name}: installing ...", flush=True)
        found = install(peer, said.cache, seconds=said.minutes * 60, size=round(said.gigabytes * 1e9))
        if isinstance(found, Refused):
            print(f"{peer.name}: does not install here: {found.reason}")
            continue
        for reason in found.refused:
            print(f"{peer.name}: the usual way did not work here: {reason}")
        print(f"{peer.name}: {found.size / 1e6:.0f} MB in {found.seconds:.0f} s{f', {found.way}' if found.way else ''}")


def fields_of(said: argparse.Namespace, datasets: Sequence[Dataset]) -> list[Field]:
    """What is replayed: the three models that were named, else the published ones that the data have."""
    named = (said.light, said.standard, said.heavy)
    if any(named):
        if not all(named):
            raise UsageError("name all three of --light, --standard and --heavy, or none")
        return [select(datasets, named)]
    known = {model for dataset in datasets for model in dataset.runs}
    found = [select(datasets, triple) for triple in TRIPLES if known.issuperset(triple)]
    if not found:
        raise UsageError(f"{said.data} has none of the published models; name three with --light, --standard and --heavy")
    return found


def ask_all(texts: Mapping[str, str], cache: Path) -> tuple[list[Asked], dict[str, Refused]]:
    """Every entrant on every text, and who does not take part."""
    asked: list[Asked] = []
    missing: dict[str, Refused] = {}
    for peer in PEERS:
        there = installed(peer, cache)
        if not isinstance(there, Installed):
            missing[peer.name] = there
            continue
        for setting in peer.settings:
            print(f"asking {setting.label} ...", file=sys.stderr, flush=True)
            answers = ask(python(peer, cache), peer.driver, setting.arguments, texts, home(peer, cache) / "home")
            if isinstance(answers, Answers):
                asked.append(Asked(label=setting.label, answers=answers, installed=there))
            else:
                missing[setting.label] = answers
    return asked, missing


def run(arguments: Sequence[str]) -> None:
    said = parser().parse_args(arguments)
    if said.setup:
        set_up(said)
        return
    fields = fields_of(said, load(said.data))
    texts = {task.name: task.text for field in fields for task in field.tasks}
    asked, missing = ask_all(texts, said.cache)
    chosen = {one.label: one.answers.ranks for one in asked}
    verifiers = (UNCHECKED, Verifier(said.verifier_recall, said.false_alarms))
    reports = [compare(field, chosen, verifier, seeds=said.seeds) for field in fields for verifier in verifiers]
    ours = own(texts, said.cache / OURS)
    beside = [Asked(label=OURS, answers=ours)] if isinstance(ours, Answers) else []
    if said.json:
        print(as_json([*asked, *beside], missing, reports))
        return
    print(f"{notes(asked, missing)}\n\n{facts([*asked, *beside])}\n")
    for report in reports:
        print(f"{title(report)}\n{about(report)}\n\n{table(report)}\n")
    print(ASSUMED)


if __name__ == "__main__":
    guarded(run, "bench.others")
