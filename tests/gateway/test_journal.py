"""The journal's file: whole lines, or nothing."""

import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stepdown.gateway.entry import End, Entry, Place, one_request
from stepdown.gateway.journal import Journal
from stepdown.ledger import Attempt
from stepdown.units import Tokens


def entry(unit_id: str, *, project: str = "/p") -> Entry:
    attempt = Attempt(project=project, unit_type="t", unit_id=unit_id, agent="gateway", started=1.0, key=f"{unit_id}.1")
    used = one_request(Tokens(input=7), 0.1, None, 1, "provider", cache_loss_usd=0.05)
    return Entry(Place(attempt=attempt, id=3, share=used, opening=2), used=used + used, end=End(at=9.0))


def test_what_is_kept_comes_back_as_it_was_but_for_where_it_stood(tmp_path: Path) -> None:
    journal, found = Journal(tmp_path / "new" / "journal.jsonl"), list[Entry]()
    journal.append([])
    assert journal.replay(found.extend) == (0, 0)
    assert not journal.path.exists()
    kept = [entry("a"), entry("é \n \\udc80")]
    journal.append(kept[:1])
    journal.append(kept[1:])
    assert journal.path.read_bytes().count(b"\n") == 2
    assert journal.replay(found.extend) == (2, 0)
    for before, after in zip(kept, found, strict=True):
        assert (after.used, after.end, after.place.attempt) == (before.used, before.end, before.place.attempt)
        assert (after.place.id, after.place.share, after.place.opening) == (3, before.place.share, 0)
    assert journal.replay(found.extend) == (0, 0)
    assert len(found) == 2


OLDER = (
    b'{"place":{"attempt":{"project":"/p","unit_type":"t","unit_id":"u","title":"","tier":"light","model":"m","ceiling":"c",'
    b'"downgraded":true,"reason":"","decision":"","pattern":"t","agent":"gateway","started":1.0,"reserved_usd":0.0,'
    b'"expected":{"input":0,"output":0,"cache_read":0,"cache_write":0},"key":"k.1","run":"r","number":1,"cause":"first"},'
    b'"id":3,"part":1,"base":{"tokens":{"input":0,"output":0,"cache_read":0,"cache_write":0},"requests":0,"usd":0.0,'
    b'"ceiling_usd":0.0,"counted":false,"estimated":false,"unpriced":false,"ceiling_unpriced":false,"worked":false,'
    b'"failure":""},"share":{"tokens":{"input":7,"output":0,"cache_read":0,"cache_write":0},"requests":1,"usd":0.5,'
    b'"ceiling_usd":1.0,"counted":true,"estimated":false,"unpriced":false,"ceiling_unpriced":false,"worked":true,'
    b'"failure":""},"opening":0},"used":{"tokens":{"input":9,"output":0,"cache_read":0,"cache_write":0},"requests":2,'
    b'"usd":0.75,"ceiling_usd":1.5,"counted":true,"estimated":false,"unpriced":false,"ceiling_unpriced":false,'
    b'"worked":true,"failure":""},"end":{"at":9.0,"failure":"","message":""}}\n'
)
"""As it was written before a loss of cache was known; other versions of stepdown may share a journal."""


def test_a_line_of_another_version_is_read(tmp_path: Path) -> None:
    journal, found = Journal(tmp_path / "journal.jsonl"), list[Entry]()
    newer = OLDER.replace(b'"ceiling_usd":1.5', b'"ceiling_usd":1.5,"cache_loss_usd":0.25,"of_tomorrow":[1]')
    journal.path.write_bytes(OLDER + newer)
    assert journal.replay(found.extend) == (2, 0)
    assert [(one.used.usd, one.used.cache_loss_usd, one.used.requests) for one in found] == [(0.75, 0.0, 2), (0.75, 0.25, 2)]


def test_what_could_not_be_written_on_stays_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([entry("a")])

    def refuse(_: Sequence[Entry]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        journal.replay(refuse)
    assert journal.replay(lambda _: None) == (1, 0)


def test_while_another_gateway_is_at_it_nothing_is_replayed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([entry("a")])
    with journal.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            journal.replay(lambda _: None)
    assert journal.replay(lambda _: None) == (1, 0)


def test_a_disk_that_is_full_in_the_middle_keeps_what_was_there_and_nothing_half(tmp_path: Path) -> None:
    code = """
import pathlib, resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_journal import Journal, entry
journal = Journal(pathlib.Path(sys.argv[1]))
journal.append([entry("first")])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size * 3 // 2, -1))
try:
    journal.append([entry("second")])
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
journal.append([entry("third")])
"""
    path = tmp_path / "journal.jsonl"
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "File too large\n"
    found: list[Entry] = []
    assert Journal(path).replay(found.extend) == (2, 0)
    assert [one.place.attempt.unit_id for one in found] == ["first", "third"]
