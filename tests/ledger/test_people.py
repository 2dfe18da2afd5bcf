"""People, what administrators did, and who was seen: the same in every ledger."""

import contextlib
import math
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.ledger import Act, Allowance, Key, Ledger, Person
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.team.tokens import digest

NOON = 1_800_000_000.0
ANA = Person(
    name="ana",
    role="member",
    projects=("shop", "/home/ana/wé\tird", "*"),
    budgets=(Allowance(limit=20.0, window="week"), Allowance(limit=2e6, unit="tokens", window="day")),
    ceiling="anthropic/claude-sonnet-4-6",
    mode="full",
    models=("anthropic/claude-haiku-4-5",),
    created=NOON,
    expires=NOON + 90,
)


def key(person: Person, mark: str = "a") -> Key:
    return Key(person=person, digest=mark * 64, page=mark.upper() * 64)


def test_nobody_has_a_token_at_first(ledger: Ledger) -> None:
    assert list(ledger.keys()) == []
    assert list(ledger.acts()) == []


def test_a_person_is_kept_whole_and_by_name(ledger: Ledger) -> None:
    ben = Person(name="ben", role="viewer", projects=("shop",), created=NOON)
    ledger.put_key(key(ben, "b"))
    ledger.put_key(key(ANA))
    assert list(ledger.keys()) == [key(ANA), key(ben, "b")]


def test_another_word_replaces_the_first(ledger: Ledger) -> None:
    ledger.put_key(key(ANA))
    changed = msgspec.structs.replace(ANA, role="admin", budgets=(), mode="", expires=None, revoked=NOON + 5)
    ledger.put_key(key(changed, "c"))
    assert list(ledger.keys()) == [key(changed, "c")]


def test_a_person_is_seen_later_and_never_earlier(ledger: Ledger) -> None:
    ledger.put_key(key(ANA))
    for at in (NOON + 10, NOON + 5, NOON + 20):
        ledger.saw("ana", at)
    ledger.saw("nobody", NOON)
    [kept] = ledger.keys()
    assert kept.person.seen == NOON + 20


def test_acts_come_newest_first_and_are_read_on(ledger: Ledger) -> None:
    for number in range(5):
        ledger.note_act(Act(at=NOON + number, who="root@vm", act="mode", what=f"{number}"))
    acts = ledger.acts()
    assert [one.what for one in acts] == ["4", "3", "2", "1", "0"]
    assert [one.what for one in ledger.acts(limit=2)] == ["4", "3"]
    assert [one.what for one in ledger.acts(limit=2, before=acts[1].id)] == ["2", "1"]
    assert len({one.id for one in acts}) == 5
    assert acts[0].who == "root@vm"


def test_what_is_undone_was_not_done(ledger: Ledger) -> None:
    with contextlib.suppress(ZeroDivisionError), ledger.batch():
        ledger.put_key(key(ANA))
        ledger.note_act(Act(at=NOON, who="-", act="token created", what="ana"))
        raise ZeroDivisionError
    assert list(ledger.keys()) == []
    assert list(ledger.acts()) == []


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
times = st.none() | st.floats(0, 4e9)
people = st.builds(
    Person,
    name=names,
    role=st.sampled_from(["viewer", "member", "admin"]),
    projects=st.lists(names, max_size=3).map(tuple),
    budgets=st.lists(
        st.builds(Allowance, limit=st.floats(0.01, 1e9), unit=st.sampled_from(["usd", "tokens", "requests"])), max_size=2
    ).map(tuple),
    ceiling=names | st.just(""),
    mode=st.sampled_from(["", "observe", "delegated", "full"]),
    models=st.lists(names, max_size=2).map(tuple),
    created=st.floats(0, 4e9),
    expires=times,
    revoked=times,
    seen=times,
)
said = st.one_of(
    people.map(lambda person: ("put", person)),
    st.tuples(st.just("saw"), names, st.floats(0, 4e9)),
    st.tuples(st.just("act"), names, names),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(said, max_size=12))
def test_a_file_keeps_what_memory_does(words: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, MemoryLedger() as memory, SqliteLedger(Path(folder) / "l.db") as file:
        for ledger in (memory, file):
            for kind, *what in words:
                match what:
                    case [Person() as person]:
                        mark = digest(person.name)
                        ledger.put_key(Key(person=person, digest=mark, page=mark))
                    case [str(name), float(at)] if kind == "saw":
                        ledger.saw(name, at)
                    case [str(who), str(act)]:
                        ledger.note_act(Act(at=math.floor(NOON), who=who, act=act))
        assert list(memory.keys()) == list(file.keys())
        assert list(memory.acts()) == list(file.acts())
