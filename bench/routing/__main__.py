"""One table: ``python -m bench.routing --data DIR --light M --standard M --heavy M [--verifier-recall R --false-alarms F]``.

``--json`` prints the same for programs, ``--seeds`` sets how many orders are averaged. Input that cannot be used is one line on
standard error and exit code 2.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.routing.bootstrap import DRAWS
from bench.routing.data import load, select
from bench.routing.replay import MEANING, SEEDS, replay
from bench.routing.table import ASSUMED, about, as_json, table, title
from bench.routing.verifier import Verifier
from stepdown.errors import StepdownError


def default_data() -> Path:
    """Below the environment's STEPDOWN_DATA, else below ``../shared/data`` beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("STEPDOWN_DATA") or beside) / "outcomes"


def fraction(text: str) -> float:
    """A command line's share."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to 1, such as 0.7, not '{text}'")
    return value


def count(text: str) -> int:
    """A command line's number of seeds."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not '{text}'")
    return int(text)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.routing", description="Replay recorded outcomes under routing policies."
    )
    made.add_argument("--data", type=Path, default=default_data(), help="a directory with NAME.csv and NAME_statements.json")
    for tier in ("light", "standard", "heavy"):
        made.add_argument(f"--{tier}", required=True, metavar="MODEL", help=f"the {tier} model, as the data name it")
    made.add_argument("--verifier-recall", type=fraction, default=0.7, metavar="R", help="share of failures noticed (0.7)")
    made.add_argument("--false-alarms", type=fraction, default=0.1, metavar="F", help="share of good work suspected (0.1)")
    made.add_argument("--seeds", type=count, default=SEEDS, metavar="N", help=f"orders to average over ({SEEDS})")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def run(arguments: Sequence[str]) -> None:
    said = parser().parse_args(arguments)
    field = select(load(said.data), (said.light, said.standard, said.heavy))
    report = replay(field, Verifier(said.verifier_recall, said.false_alarms), seeds=said.seeds)
    if said.json:
        print(as_json(report))
        return
    print(f"{title(report)}\n{about(report)}\n\n{table(report)}\n")
    print("\n".join(f"- `{name}`: {meaning}" for name, meaning in MEANING.items()), end="\n\n")
    print(ASSUMED.format(draws=DRAWS, seeds=report.seeds))


def guarded(program: Callable[[Sequence[str]], None], name: str) -> None:
    """Run a program; what its user did wrong is one line on standard error."""
    try:
        program(sys.argv[1:])
    except StepdownError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read the output has gone
        sys.stdout = None
        sys.exit(1)


if __name__ == "__main__":
    guarded(run, "bench.routing")
