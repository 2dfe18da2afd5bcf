"""``python -m bench.recognise``: what the gateway takes requests to be, over a labelled set of eight clients' requests.

The set is in tests/gateway/labelled: requests as the real clients were seen to send them, their texts shortened, and some made
from those. Printed are the requests by what they are and what they were taken for, then those per client that were recognised
in everything: type, origin, whether a unit begins, plan mode, and which requests belong to one conversation.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.gateway.protocols import WIRES
from stepdown.gateway.recognised import Recognised, recognised

LABELLED: Final = Path(__file__).parents[1] / "tests/gateway/labelled"


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request is.

    Attributes:
        unit: its type.
        origin: who asked.
        conversation: requests of one client with the same one are of one conversation; "" is for those that name none.
        begins: whether a unit begins.
        planning: whether it is a person's turn in plan mode.
    """

    unit: str
    origin: str
    conversation: str
    begins: bool
    planning: bool


class Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request, and what it is.

    Attributes:
        name: what happens in it.
        protocol: ``messages``, ``chat`` or ``responses``.
        headers: those that tell anything.
        body: as its client writes it.
        expected: what it is.
        known_miss: whether it is known not to be recognised, since nothing in it tells.
    """

    name: str
    protocol: str
    headers: dict[str, str]
    body: msgspec.Raw
    expected: Expected
    known_miss: bool = False

    def recognised(self) -> Recognised:
        """What the gateway takes it for."""
        return recognised(WIRES[self.protocol].read(bytes(self.body), self.headers), self.headers)


_decoder: Final = msgspec.json.Decoder(list[Labelled])


def labelled(folder: Path = LABELLED) -> dict[str, list[Labelled]]:
    """The set, by client."""
    return {path.stem: _decoder.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def kind(unit: str, origin: str, *, begins: bool) -> str:
    """A request's class in the table: ``execute-task``, ``plan: research-slice``, ``goes on (human)``."""
    if not begins:
        return f"goes on ({origin})"
    return f"plan: {unit}" if origin == "plan" else unit


def mistaken(requests: Sequence[Labelled]) -> set[str]:
    """The names of one client's requests that are taken for something else, or for another conversation's."""
    wrong: set[str] = set()
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in requests:
        names[one.expected.conversation][one.recognised().conversation] += 1
    usual = {talk: found.most_common(1)[0][0] for talk, found in names.items()}
    taken = Counter(usual.values())
    for one in requests:
        found, expected = one.recognised(), one.expected
        said = (found.unit.type, found.origin, found.begins, found.planning)
        alike = found.conversation == usual[expected.conversation] and taken[found.conversation] == 1
        if said != (expected.unit, expected.origin, expected.begins, expected.planning) or not alike:
            wrong.add(one.name)
    return wrong


def confusion(requests: Iterable[Labelled]) -> Mapping[tuple[str, str], int]:
    """How many requests of a class were taken for which."""
    table: Counter[tuple[str, str]] = Counter()
    for one in requests:
        found, expected = one.recognised(), one.expected
        is_ = kind(expected.unit, expected.origin, begins=expected.begins)
        table[is_, kind(found.unit.type, found.origin, begins=found.begins)] += 1
    return table


def tables() -> str:
    """Both tables, in Markdown."""
    clients = labelled()
    found = confusion(one for requests in clients.values() for one in requests)
    rows = ["| it is | it was taken for | requests |", "|---|---|---:|"]
    rows += [
        f"| {is_} | {'the same' if is_ == taken else f'**{taken}**'} | {count} |"
        for (is_, taken), count in sorted(found.items())
    ]
    rows += ["", "| client | requests | recognised in everything | not |", "|---|---:|---:|---|"]
    for client, requests in clients.items():
        wrong = mistaken(requests)
        rows.append(f"| {client} | {len(requests)} | {len(requests) - len(wrong)} | {'; '.join(sorted(wrong))} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(tables() + "\n")
