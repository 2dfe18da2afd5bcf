"""The comparison as tables of Markdown that also read well on a terminal, and as JSON."""

from collections.abc import Mapping, Sequence

import msgspec

from bench.others.ask import Answers
from bench.others.install import Installed, Refused
from bench.others.peers import PEERS
from bench.routing.replay import Report
from bench.routing.table import as_json as report_json
from bench.routing.table import lines

ASSUMED = """\
These routers were built to choose for a request. Here each saw a task's text once, as a first request, and the whole task then
ran on the model it chose; what a router would do later in a conversation is not in these tables. "random like X" is X's shares
dealt out blindly: X's choice of tasks is worth what it is ahead of that. In the tables with a verifier every router's choice is
checked and stepped up as stepdown does it (a tier up, then heavy once more); only stepdown also stops runaway attempts and
learns. "light+escalate" and "standard+escalate" start everything there and go straight to heavy. 95 % intervals in brackets:
tasks drawn again, paired. Times are processor times."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One entrant: its label, what it answered, and its installation; None for what is part of this repository."""

    label: str
    answers: Answers
    installed: Installed | None = None


def facts(asked: Sequence[Asked]) -> str:
    """What each entrant costs to have and to ask."""
    rows = [("router", "version", "decision, median ms", "p99 ms", "first ms", "import ms", "installed MB")]
    rows += [
        (
            one.label,
            one.answers.head.version,
            f"{one.answers.median_us / 1e3:.2f}",
            f"{one.answers.p99_us / 1e3:.2f}",
            f"{one.answers.head.first_ms:.0f}",
            f"{one.answers.head.import_ms:.0f}",
            f"{one.installed.size / 1e6:.0f}" if one.installed else "",
        )
        for one in asked
    ]
    return lines(rows)


def notes(asked: Sequence[Asked], missing: Mapping[str, Refused]) -> str:
    """What each router is and how it was set up; which are missing, and why."""
    said = []
    for peer in PEERS:
        said.append(f"- {peer.name}: {peer.made_for} {peer.how}")
        found = [one for one in asked if one.label in {setting.label for setting in peer.settings}]
        said += [f"  Note: {note}." for note in sorted({one.answers.head.note for one in found} - {""})]
        for record in {one.installed for one in found if one.installed}:
            said += [f"  The usual way to install it did not work here: {reason}." for reason in record.refused]
            if record.way:
                said.append(f"  Installed {record.way}.")
    said += [f"- {name}: does not take part: {refused.reason}." for name, refused in missing.items()]
    return "\n".join(said)


def as_json(asked: Sequence[Asked], missing: Mapping[str, Refused], reports: Sequence[Report]) -> str:
    """Everything for programs: entrants with their times and choices, who is missing, and the reports of `bench.routing`."""
    found = {
        "routers": asked,
        "missing": missing,
        "reports": [msgspec.Raw(report_json(report).encode()) for report in reports],
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
