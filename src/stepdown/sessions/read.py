"""All logs of all agents: found, read where they changed, on every core where that is much."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from stepdown.sessions.index import Entry, Index, Key, entry
from stepdown.sessions.records import Log
from stepdown.sessions.source import Source

_WORTH_SHARING: Final = 64 * 1024 * 1024
"""Bytes from which on starting more processes pays: they take about a tenth of a second."""
_BATCH: Final = 8 * 1024 * 1024
"""Small logs go to another process together, up to so many bytes."""
_DECODER: Final = msgspec.msgpack.Decoder(Log)


class Found(msgspec.Struct, frozen=True):
    """A place that was looked at.

    Attributes:
        source: whose.
        path: where.
        there: whether there is anything.
        files: how many logs.
        bytes: their size.
        error: why it, or logs in it, could not be read; "" otherwise.
    """

    source: Source
    path: Path
    there: bool
    files: int
    bytes: int
    error: str


class Collected(msgspec.Struct, frozen=True):
    """Everything that was read.

    Attributes:
        logs: per source's name, the logs in the order of their files.
        found: the places.
        read_bytes: how much had to be read anew.
        unreadable: logs that could not be read, and why.
    """

    logs: dict[str, list[Log]]
    found: tuple[Found, ...]
    read_bytes: int
    unreadable: tuple[tuple[str, str], ...]


class _Wanted(msgspec.Struct, frozen=True):
    """One log that is to be read."""

    source: Source
    file: Path
    stamp: tuple[int, int]


def collect(
    sources: Sequence[Source],
    environ: Mapping[str, str],
    *,
    projects: Sequence[Path] = (),
    index: Index,
    since: float = 0.0,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Collected:
    """Read what the agents have logged.

    Args:
        sources: the agents.
        environ: see `Source.places`.
        projects: likewise.
        index: what was read before; what is read now is added to it.
        since: logs that were not changed since then (seconds since the epoch) say nothing newer, and are left out.
        workers: processes; 0 takes one per core where there is much to read.
        progress: told how many bytes of how many are done.
    """
    found: list[Found] = []
    wanted: list[_Wanted] = []
    unreadable: list[tuple[str, str]] = []
    for source in sources:
        # A directory that is a link to another one holds nothing of its own.
        own: dict[Path, Path] = {}
        for place in source.places(environ, projects):
            own.setdefault(_real(place), place)
        for place in own.values():
            listed, problem = _listed(source, place, unreadable)
            size = sum(one.stamp[0] for one in listed)
            there = bool(listed) or bool(problem) or _exists(place)
            found.append(Found(source, place, there, len(listed), size, problem))
            wanted += [one for one in listed if one.stamp[1] >= since * 1e9]
    known = [(one, index.find(one.source.name, one.source.version, one.file, one.stamp)) for one in wanted]
    logs: dict[Key, Log] = {_key(one): log for one, log in known if log is not None}
    missing = [one for one, log in known if log is None]
    fresh: dict[Key, Entry] = {}
    for one, answer in _read(missing, workers, progress):
        if isinstance(answer, str):
            unreadable.append((str(one.file), answer))
            continue
        logs[_key(one)] = _DECODER.decode(answer)
        fresh[_key(one)] = entry(one.source.version, one.stamp, answer)
    gone = {key for key in index.files() if key[0] in {source.name for source in sources}} - {_key(one) for one in wanted}
    index.keep(fresh, () if since else gone)
    by_source: dict[str, list[Log]] = {source.name: [] for source in sources}
    for one in wanted:
        if _key(one) in logs:
            by_source[one.source.name].append(logs[_key(one)])
    return Collected(by_source, tuple(found), sum(one.stamp[0] for one in missing), tuple(unreadable))


def _key(one: _Wanted) -> Key:
    return one.source.name, str(one.file)


def _real(place: Path) -> Path:
    try:
        return place.resolve()
    except (OSError, RuntimeError):  # a link in a circle
        return place


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False


def _listed(source: Source, place: Path, unreadable: list[tuple[str, str]]) -> tuple[list[_Wanted], str]:
    """The logs at a place; why it cannot be listed."""
    listed: list[_Wanted] = []
    try:
        for file in source.files(place):
            try:
                listed.append(_Wanted(source, file, source.stamp(file)))
            except FileNotFoundError:  # it went while we looked
                continue
            except OSError as error:
                unreadable.append((str(file), error.strerror or str(error)))
    except OSError as error:
        return listed, error.strerror or str(error)
    return listed, ""


def _read(
    missing: Sequence[_Wanted], workers: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[_Wanted, bytes | str]]:
    """Each log encoded, or why it cannot be read."""
    total = sum(one.stamp[0] for one in missing)
    count = workers or (_cores() if total >= _WORTH_SHARING else 1)
    done = 0
    if count == 1 or len(missing) == 1:
        for one in missing:
            progress(done, total)
            yield one, _encoded(one)
            done += one.stamp[0]
        return
    import multiprocessing  # noqa: PLC0415 - only where there is much to read
    from concurrent.futures import ProcessPoolExecutor, as_completed  # noqa: PLC0415 - likewise
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - likewise

    # A fork starts at once; elsewhere it is not safe, and a fresh interpreter is started.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(count, mp_context=context))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)  # ctrl-C does not wait for a gigabyte
        futures = {pool.submit(_encoded_batch, batch): batch for batch in _batches(missing)}
        progress(0, total)
        for future in as_completed(futures):
            batch = futures[future]
            try:
                answers = future.result()
            except BrokenProcessPool:  # the system has ended one of them, perhaps for its memory: one after the other, then
                answers = _encoded_batch(batch)
            for one, answer in zip(batch, answers, strict=True):
                done += one.stamp[0]
                yield one, answer
            progress(done, total)


def _batches(missing: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """The largest first, so that no process has a long one left when the others are done."""
    batch: list[_Wanted] = []
    size = 0
    for one in sorted(missing, key=lambda one: -one.stamp[0]):
        batch.append(one)
        size += one.stamp[0]
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encoded_batch(batch: Sequence[_Wanted]) -> list[bytes | str]:
    return [_encoded(one) for one in batch]


def _encoded(one: _Wanted) -> bytes | str:
    try:
        return msgspec.msgpack.encode(one.source.read(one.file))
    except OSError as error:
        return error.strerror or str(error)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
