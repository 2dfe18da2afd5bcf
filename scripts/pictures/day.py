"""The live page in the middle of a day: weeks of practice runs behind it, a gateway at work, a request under way."""

import datetime as dt
import json
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

from running_gateway import ask

from scripts.pictures.film import keep
from scripts.pictures.house import House
from scripts.pictures.studio import Studio
from stepdown.practice.faults import Fault
from stepdown.practice.limits import Limits, Unified, Window
from stepdown.practice.provider import PracticeProvider

NAMES: Final = ("page-light", "page-dark", "page-phone", "receipt")
_TODAY: Final = "M017"
_DAY: Final = 86_400.0
_RAN: Final = (4, 7, 7, 5, 6, 7, 3, 7, 6, 7, 4, 7, 7, 6, 5)
"""Units of the plan on each working day before this one, the first one first."""
_ASKED: Final = (3, 5, 2, 4, 1, 6, 3, 4, 5, 1, 2, 5, 3, 4, 2)
"""Likewise, how often the gateway was asked about what comes next."""
_PLAN: Final = Limits(
    unified=Unified(five_hour=Window(used=0.62, resets_in=5_700), seven_day=Window(used=0.38, resets_in=262_000))
)
_DELEGATED: Final = "gateway: {mode: delegated}\n"


class Turn(NamedTuple):
    """A declared unit of the day: how many minutes ago, what, how long its prompt is and how often it asks."""

    ago: int
    unit: str
    id: str
    tokens: int
    requests: int
    rated: str = ""


_TURNS: Final = (
    Turn(171, "research-slice", "M018/S01", 24_000, 3, "ok"),
    Turn(166, "subagent/explore", "who calls due()", 17_000, 2),
    Turn(158, "rewrite-docs", "docs/errors.md", 21_000, 2, "over"),
    Turn(149, "hook/release-notes", "0.4.1", 8_000, 2, "under"),
    Turn(141, "hook/commit-message", "3f1c9a", 6_000, 1),
    Turn(133, "run-uat", "M016/S04", 13_000, 2, "ok"),
    Turn(122, "replan-slice", "M018/S01", 31_000, 2),
    Turn(114, "subagent/explore", "where items are read", 26_000, 3, "ok"),
    Turn(105, "validate-milestone", "M016", 22_000, 2),
    Turn(98, "gate-evaluate", "M017/S01", 14_000, 1),
    Turn(31, "hook/release-notes", "0.5.0", 12_000, 2, "ok"),
    Turn(24, "subagent/explore", "who writes items.json", 19_000, 2),
    Turn(17, "reassess-roadmap", "M018", 34_000, 2, "ok"),
    Turn(9, "hook/commit-message", "b07d22", 6_000, 1),
    Turn(4, "rewrite-docs", "docs/usage.md", 28_000, 3, "ok"),
)
_UNDER_WAY: Final = (
    Turn(0, "plan-slice", "M018/S02", 41_000, 1),
    Turn(0, "replan-slice", "M018/S03", 36_000, 1),
)


def make(studio: Studio) -> None:
    """Live through it, and take the pictures."""
    print("working through three weeks for the page: some two minutes", flush=True)
    provider = PracticeProvider(latency=0.0, limits=_PLAN)
    provider.start()
    try:
        with studio.house() as house:
            _weeks(house, provider)
            _today(studio, house, provider)
    finally:
        provider.stop()


def _weeks(house: House, provider: PracticeProvider) -> None:
    """Every working day a milestone is begun; every fourth time the light model says it wrote the manual, and did not."""
    ago = [back for back in range(1, 40) if (dt.datetime.now(dt.UTC) - dt.timedelta(days=back)).weekday() < 5]
    for number, (units, asked) in enumerate(zip(_RAN, _ASKED, strict=True)):
        milestone = f"M{number + 2:03}"
        house.furnish(provider.url, milestone)
        _explain(house.project, milestone)
        if number % 4 == 1:
            provider.faults.add([_lie(milestone)])
        house.turn_back(_DAY * ago[len(_RAN) - 1 - number])
        house.call("run", "--agent", "practice", "--yes", "--plain", "--max-units", str(units))
        provider.faults.clear()
        with house.running("serve", "--port", "0", "--mode", "delegated") as address:
            _work(address, Turn(0, "reassess-roadmap", f"M{number + 3:03}", 80_000, asked))
            _work(address, Turn(0, "research-slice", f"M{number + 3:03}/S01", 24_000, asked))


def _today(studio: Studio, house: House, provider: PracticeProvider) -> None:
    house.furnish(provider.url, _TODAY, _DELEGATED)
    _explain(house.project, _TODAY)
    house.turn_back(60 * 180)
    with house.running("serve", "--port", "0") as address:
        for turn in _TURNS:
            if turn.ago < 60 and not (house.project / "docs").exists():
                house.turn_back(60 * 52)
                provider.faults.add([_lie(_TODAY)])
                house.call("run", "--agent", "practice", "--yes", "--plain", "--max-units", "6")
            house.turn_back(60 * turn.ago)
            _work(address, turn)
        house.turn_back(0)
        provider.faults.add([Fault(kind="slow", pause=0.5, pieces=50, times=2)])
        asking = [threading.Thread(target=_work, args=(address, turn, True)) for turn in _UNDER_WAY]
        for one in asking:
            one.start()
        _shoot(studio, address)
        provider.faults.clear()
        for one in asking:
            one.join()


def _explain(project: Path, milestone: str) -> None:
    """The example's context, as long as that of a project on which people have worked for weeks."""
    context = project / ".gsd" / "milestones" / milestone / f"{milestone}-CONTEXT.md"
    context.write_text("\n\n".join([context.read_text("utf-8")] * 100), "utf-8")


def _lie(milestone: str) -> Fault:
    return Fault(kind="wrong", model="claude-haiku-4-5", unit=f"{milestone}/S02/T03")


def _work(address: str, turn: Turn, stream: bool = False) -> None:
    """The requests of a unit, each with the conversation so far, and the user's word on it."""
    port = int(address.rpartition(":")[2])
    headers = {"x-api-key": "sk-ant-its-own", "x-stepdown-unit": turn.unit, "x-stepdown-unit-id": turn.id}
    said: list[dict[str, Any]] = []
    for number in range(turn.requests):
        words = _marked(f"{turn.id}, step {number + 1}: " + "what the tools have shown. " * 60)
        said = [{**one, "content": [{"type": "text", "text": one["content"][0]["text"]}]} for one in said]
        said.append({"role": "user", "content": [words]})
        body = {"model": "claude-opus-4-6", "max_tokens": 4_000, "stream": stream, "messages": said}
        body["system"] = [_marked(f"{turn.unit} {turn.id}. " + "The project's conventions. " * (turn.tokens * 4 // 27))]
        status, _, answer = ask(port, "POST", "/v1/messages", body, headers)
        assert status == 200, answer
        if not stream:
            said.append({"role": "assistant", "content": json.loads(answer)["content"]})
    if turn.rated:
        status, _, answer = ask(port, "POST", "/v1/stepdown/rate", {"word": turn.rated, "unit": f"{turn.unit} {turn.id}"})
        assert status == 200, answer


def _marked(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}


def _shoot(studio: Studio, address: str) -> None:
    for name in [name for name in NAMES if name in studio.wanted]:
        phone = name == "page-phone"
        width, height = (390, 844) if phone else (1360, 980 if name == "receipt" else 1160)
        with studio.window(width, height, scheme="dark" if name == "page-dark" else "light", phone=phone) as page:
            page.goto(address)
            page.wait_for_selector('#connection[data-state="live"]')
            page.wait_for_selector("#doing li")
            if name == "receipt":
                page.locator("#units tr", has_text=f"{_TODAY}/S02/T03").get_by_role("link").click()
                page.wait_for_selector("#receipt[open]")
            keep(page.screenshot(), studio.place(f"{name}.png"))
