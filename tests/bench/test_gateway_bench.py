"""What the comparison of gateways is made of: its requests, its clocks, and its own two programs on loopback."""

import http.client
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gateway import table
from bench.gateway.bodies import SIZE, TOOLS, body, head
from bench.gateway.load import Order, Result, wrong
from bench.gateway.measure import DIRECT, KINDS, Soaked, Streams, Summary, Turn, Turns, percentile, summary
from bench.gateway.process import cpu_seconds, memory_bytes, tree
from bench.gateway.running import Load, free_port, loading, providing
from bench.gateway.subjects import PLAIN, SUBJECTS, Place, chosen
from bench.gateway.table import Measured
from bench.gateway.upstream import CHUNKS, TEXT
from stepdown.gateway.protocols import WIRES
from stepdown.preferences import load_preferences

_BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


@given(st.integers(138_000, 400_000), st.booleans())
def test_a_request_is_as_long_as_it_is_said_to_be(size: int, stream: bool) -> None:
    assert len(body(stream=stream, size=size)) == size


def test_a_request_is_what_the_gateway_reads_as_an_agents() -> None:
    envelope = WIRES["messages"].read(body(stream=True), {})
    assert (envelope.tools, envelope.stream, envelope.output) == (TOOLS, True, 8192)
    assert envelope.prompt > SIZE / 6
    assert not {feature for feature in envelope.features if ":" in feature}, "nothing that only its own model could take"


def test_a_request_cannot_be_shorter_than_what_is_in_it() -> None:
    with pytest.raises(ValueError, match="at least"):
        body(stream=False, size=1000)


def test_a_head_ends_where_the_body_begins() -> None:
    text = head("127.0.0.1:1", 17, "/v1/messages", {"x-more": "yes"}).decode()
    assert text.startswith("POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:1\r\n")
    assert "\r\nx-more: yes\r\n" in text
    assert text.endswith("content-length: 17\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "stream", "problem"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"usage":{"output_tokens":3}}', False, ""),
        (b'HTTP/1.1 200 OK\r\n\r\n{"oh":"no"}', False, "not the provider's answer"),
        (b'HTTP/1.1 200 OK\r\n\r\nevent: message_start\n\n"output_tokens"', True, "not the provider's answer"),
        (b"HTTP/1.1 200 OK\r\n\r\nevent: message_stop\n\n", True, ""),
        (b'HTTP/1.1 502 Bad Gateway\r\n\r\n"output_tokens"', False, "status 502"),
    ],
)
def test_an_answer_counts_where_it_is_the_providers_and_whole(answer: bytes, stream: bool, problem: str) -> None:
    assert wrong(answer, stream=stream) == problem


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_least_value_that_covers_its_share(values: list[float], share: float) -> None:
    found = percentile(values, share)
    needed = share * len(values)
    assert sum(value <= found for value in values) >= needed - 1e-6
    assert all(sum(value <= other for value in values) < needed + 1e-6 for other in values if other < found)


def _turn(cpu: float, latency: float, *problems: str) -> Turn:
    return Turn(
        cpu=cpu,
        latencies=[] if math.isnan(cpu) and problems else [latency],
        first_bytes=[] if math.isnan(cpu) and problems else [latency / 2],
        problems=dict.fromkeys(problems, 1),
    )


def _turns(**by_name: list[Turn]) -> Turns:
    return {name.replace("_", " "): dict.fromkeys(KINDS, turns) for name, turns in by_name.items()}


def test_ratios_are_taken_round_by_round() -> None:
    # The machine was three times as slow in the second round: for both.
    turns = _turns(
        direct=[_turn(math.nan, 0.001)] * 3,
        plain=[_turn(0.001, 0.004), _turn(0.003, 0.004), _turn(0.001, 0.004)],
        ours=[_turn(0.002, 0.005), _turn(0.006, 0.005), _turn(0.0021, 0.005, "cut")],
    )
    found = summary(turns, "ours", PLAIN)
    assert found.times_plain == pytest.approx(dict.fromkeys(KINDS, 2.0))
    assert found.cpu == pytest.approx(dict.fromkeys(KINDS, 2.1))
    assert [found.p50, found.first_byte] == pytest.approx([4.0, 2.0])
    assert found.requests == 3 * len(KINDS)
    assert found.problems == {"cut": len(KINDS)}
    assert summary(turns, PLAIN, PLAIN).times_plain == dict.fromkeys(KINDS, 1.0)


def test_who_answers_nothing_has_no_numbers() -> None:
    turns = _turns(direct=[_turn(math.nan, 0.001)], plain=[_turn(0.001, 0.004)], silent=[_turn(math.nan, 0.0, "status 500")])
    found = summary(turns, "silent", PLAIN)
    assert math.isnan(found.cpu["one"])
    assert math.isnan(found.p50)
    cells = table.speed([_measured("silent", found)]).splitlines()[2].split("|")
    assert [cell.strip() for cell in cells[1:11]] == ["silent", *[""] * 9]
    assert "3 status 500" in cells[12]


def _measured(name: str, speed: Summary) -> Measured:
    return Measured(
        name=name,
        label=name,
        how="As it is.",
        served="anthropic/some-model",
        first_served=0.5,
        first_cpu=0.4,
        idle=40_000_000,
        speed=speed,
        soaked=Soaked(10_000, 41_000_000),
        long=[Soaked(10_000, 42_000_000), Soaked(10_000, 42_100_000)],
        streams=Streams(complete=999, problems={"cut": 1}, peak=86_000_000, first_byte=1.5, cpu=4.0),
    )


def test_the_tables_say_what_was_measured() -> None:
    turns = _turns(direct=[_turn(math.nan, 0.001)], plain=[_turn(0.001, 0.004)])
    rows = [_measured(PLAIN, summary(turns, PLAIN, PLAIN))]
    for text in (table.speed(rows), table.memory(rows), table.long(rows)):
        assert len({line.count("|") for line in text.splitlines()}) == 1, text
    cells = [cell.strip() for cell in table.memory(rows).splitlines()[2].split("|")]
    assert cells[1:] == [PLAIN, "0.50", "0.40", "40", "10,000", "41", "999", "1 cut", "86", "1.50", "4.0", ""]
    assert table.long(rows).splitlines()[3].split("|")[2].strip() == "20,000", "requests add up"
    assert "nobody: does not take part: it is not there." in table.notes(rows, {"nobody": "it is not there"})
    assert json.loads(table.as_json(rows, {}))["subjects"][0]["soaked"]["memory"] == 41_000_000


def test_the_pass_through_always_takes_part() -> None:
    assert {one.name for one in chosen(["nginx"])} == {"nginx", PLAIN}
    assert chosen([]) == SUBJECTS


@pytest.mark.parametrize("name", ["observe", "delegated"])
def test_the_preferences_that_stepdown_is_measured_with_hold(name: str, tmp_path: Path) -> None:
    subject = next(one for one in SUBJECTS if one.name == name)
    start = subject.prepare(Place(tmp_path, tmp_path, 1234, 5678))
    preferences = load_preferences(tmp_path / "project", home=tmp_path)
    assert preferences.dynamic_routing.enabled
    assert preferences.providers["anthropic"].base_url == "http://127.0.0.1:1234"
    assert preferences.warnings == ()
    assert list(start.command)[1:] == ["serve", tmp_path / "project", "--port", "5678", "--mode", name]


def _program(text: str) -> "subprocess.Popen[str]":
    """A program that says a word when it has done its work, and stays until it is told to go."""
    text += "print('done', flush=True)\nimport sys\nsys.stdin.read()\n"
    return subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ready(one: "subprocess.Popen[str]") -> int:
    assert one.stdout is not None
    assert one.stdout.readline() == "done\n"
    return one.pid


def test_cpu_time_is_the_process_and_all_that_it_started() -> None:
    # One child is alive beside it, one has ended and was waited for; each burnt 0.3 s.
    child = f"{_BURN}print(1, flush=True)\nimport sys\nsys.stdin.read()\n"
    text = (
        f"{_BURN}import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BURN!r}], check=True)\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
    )
    with _program(text) as one:
        pid = _ready(one)
        found = cpu_seconds(pid)
        assert 0.88 <= found < 3.0
        assert len(tree(pid)) == 2
        assert cpu_seconds(pid) - found < 0.05, "it sleeps"
    assert tree(pid) == ()
    assert cpu_seconds(pid) == 0.0


def test_memory_is_what_is_held() -> None:
    with _program("") as small, _program("held = b'x' * 60_000_000\n") as large:
        more = memory_bytes(_ready(large)) - memory_bytes(_ready(small))
    assert 55_000_000 < more < 70_000_000


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with loading() as one:
        yield one


@pytest.fixture(scope="module")
def provider() -> Iterator[int]:
    with providing() as port:
        yield port


def test_the_load_asks_as_often_as_it_is_told(load: Load, provider: int) -> None:
    result = load(Order(port=provider, connections=3, requests=11))
    assert (len(result.latencies), len(result.first_bytes), result.problems) == (11, 11, {})
    assert all(0 < first <= whole for first, whole in zip(result.first_bytes, result.latencies, strict=True))


def test_a_stream_comes_chunk_by_chunk(load: Load, provider: int) -> None:
    result = load(Order(port=provider, stream=True, connections=2, requests=4))
    assert (len(result.latencies), result.problems) == (4, {})
    for first, whole in zip(result.first_bytes, result.latencies, strict=True):
        assert whole - first > 0.001 * (CHUNKS - 2), "the first byte is not held back"


def test_the_load_stops_when_its_time_is_over(load: Load, provider: int) -> None:
    result = load(Order(port=provider, requests=10**9, seconds=0.2))
    assert result.latencies
    assert result.seconds < 5


def test_the_load_says_that_nobody_is_there(load: Load) -> None:
    result: Result = load(Order(port=free_port(), requests=3))
    assert result.latencies == []
    assert next(iter(result.problems)).startswith("no connection")


def test_the_provider_answers_in_the_protocols_shape(provider: int) -> None:
    reader = WIRES["messages"].reader(stream=True)
    connection = http.client.HTTPConnection("127.0.0.1", provider, timeout=10)
    connection.request("POST", "/v1/messages", body(stream=True), {"content-type": "application/json"})
    answer = connection.getresponse().read()
    connection.close()
    reader.feed(answer)
    reader.close()
    assert reader.ended
    assert reader.failure is None
    assert reader.tokens is not None
    assert (reader.tokens.input, reader.tokens.output, reader.tokens.cache_read) == (900, 380, 40_000)
    assert answer.count(TEXT.encode()) == CHUNKS
    assert DIRECT not in {one.name for one in SUBJECTS}
