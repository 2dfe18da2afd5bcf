from pathlib import Path

import pytest

from stepdown.agents.port import Event, Finished, Job, Started, Step, Used
from stepdown.catalog.records import Model, Price, Rates
from stepdown.practice import tools
from stepdown.practice.agent import PracticeAgent
from stepdown.practice.faults import Fault, Kind
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens, Unit

HAIKU = Model(id="claude-haiku-4-5", provider="anthropic", price=Price(rates=Rates(input=1.0, output=5.0)))
PROMPT = "## UNIT: Execute Task T01\n\n## Expected Output\n\n- `src/a.py` — changed\n- `docs/new.md`\n"


def job(workdir: Path, *, writes: tuple[str, ...] = (), cost_cap: float | None = None, timeout: float = 20.0) -> Job:
    unit = Unit("execute-task", "M001/S01/T01")
    return Job(unit=unit, prompt=PROMPT, model=HAIKU, workdir=workdir, writes=writes, cost_cap=cost_cap, timeout=timeout)


async def collect(agent: PracticeAgent, work: Job) -> list[Event]:
    return [event async for event in agent.run(work)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def last(events: list[Event]) -> Finished:
    assert [isinstance(event, Finished) for event in events].count(True) == 1
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


async def test_it_does_the_unit_and_its_tokens_are_the_providers(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("x = 1\n")
    provider = PracticeProvider(latency=0)
    events = await collect(PracticeAgent(provider), job(tmp_path, writes=(".gsd/T01-SUMMARY.md",)))
    assert events[0] == Started(model="claude-haiku-4-5")
    finished = last(events)
    assert finished.failure is None
    assert (tmp_path / "src/a.py").read_text().startswith("x = 1\n\n# ")
    assert (tmp_path / "docs/new.md").is_file()
    assert (tmp_path / ".gsd/T01-SUMMARY.md").read_text().startswith("---\nid: T01\n")
    billed = sum((served.tokens for served in provider.log), Tokens())
    used = sum((event.tokens for event in events if isinstance(event, Used)), Tokens())
    assert finished.tokens == billed == used
    assert finished.requests == len(provider.log) == 3
    assert {served.model for served in provider.log} == {"claude-haiku-4-5"}
    assert {served.unit for served in provider.log} == {"M001/S01/T01"}
    assert not any(event.error for event in events if isinstance(event, Step))


async def test_a_second_run_adds_nothing(tmp_path: Path) -> None:
    agent = PracticeAgent(PracticeProvider(latency=0))
    await collect(agent, job(tmp_path))
    before = contents(tmp_path)
    await collect(agent, job(tmp_path))
    await collect(agent, job(tmp_path))
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[path].count(b"passed here") <= 1 for path in after)


@pytest.mark.parametrize(
    ("kind", "status", "failure"),
    [
        ("status", 429, "provider"),
        ("status", 500, "provider"),
        ("status", 529, "provider"),
        ("html", 502, "provider"),
        ("cut", 200, "provider"),
        ("html", 200, "provider"),
        ("status", 400, "rejected"),
        ("status", 401, "rejected"),
        ("status", 404, "rejected"),
        ("status", 402, "budget"),
        ("refusal", 200, "quality"),
        ("wrong", 200, None),
    ],
)
async def test_what_goes_wrong_has_its_kind_and_one_line(tmp_path: Path, kind: Kind, status: int, failure: str | None) -> None:
    provider = PracticeProvider(latency=0, faults=[Fault(kind=kind, status=status)])
    finished = last(await collect(PracticeAgent(provider), job(tmp_path)))
    assert finished.failure == failure
    assert bool(finished.message) == (failure is not None)
    assert "\n" not in finished.message
    assert contents(tmp_path) == {}


async def test_nobody_there_is_a_failure_of_the_provider(tmp_path: Path) -> None:
    async with PracticeProvider() as provider:
        gone = provider.url
    assert last(await collect(PracticeAgent(base_url=gone), job(tmp_path))).failure == "provider"


async def test_a_hanging_provider_is_left_when_the_time_is_up(tmp_path: Path) -> None:
    provider = PracticeProvider(latency=0, faults=[Fault(kind="hang")])
    finished = last(await collect(PracticeAgent(provider), job(tmp_path, timeout=0.2)))
    assert (finished.failure, finished.message) == ("quality", "stalled: no end after 0.2 s, stopped")


async def test_the_cost_cap_stops_it(tmp_path: Path) -> None:
    finished = last(await collect(PracticeAgent(PracticeProvider(latency=0)), job(tmp_path, cost_cap=0.000_001)))
    assert finished.failure == "budget"
    assert finished.requests == 1


async def test_closing_it_early_stops_its_provider(tmp_path: Path) -> None:
    provider = PracticeProvider(latency=0)
    events = PracticeAgent(provider).run(job(tmp_path))
    async for event in events:
        if isinstance(event, Used):
            break
    await events.aclose()  # type: ignore[attr-defined]  # the port promises an iterator; ours is a generator
    with pytest.raises(Exception, match="not running"):
        _ = provider.url


@pytest.mark.parametrize("path", ["../out.txt", "/etc/hosts", "link/out.txt", ".git/config", "a\0b", ""])
def test_no_tool_leaves_the_directory(tmp_path: Path, path: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "outside").mkdir()
    (work / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(tools.ToolError):
        tools.use(work, "write_file", {"path": path, "content": "x"})
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


def test_a_link_to_a_file_outside_is_not_followed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret").write_text("s")
    (work / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(tools.ToolError, match="outside"):
        tools.use(work, "read_file", {"path": "a.txt"})


def test_a_directory_and_an_unknown_tool_are_answers_not_crashes(tmp_path: Path) -> None:
    with pytest.raises(tools.ToolError):
        tools.use(tmp_path, "write_file", {"path": ".", "content": "x"})
    with pytest.raises(tools.ToolError, match="no tool"):
        tools.use(tmp_path, "delete_file", {"path": "a"})
