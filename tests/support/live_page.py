"""The live page in a real browser, in front of a real gateway: what its tests and its pictures are made with."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page
from running_gateway import ask, message

from stepdown.ledger import Rating, open_ledger
from stepdown.units import Tier

AXE = Path(__file__).parents[1] / "journeys" / "node_modules" / "axe-core" / "axe.min.js"
"""What checks accessibility; installed by `make clients`."""

PREFERENCES = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true, tier_models: {light: claude-haiku-4-5, standard: claude-sonnet-4-6}}
gateway: {mode: delegated}
budget_ceiling: 0.01
providers: {anthropic: {base_url: "URL"}}
"""


def project_at(folder: Path, url: str) -> Path:
    """A project whose gateway routes declared units, in front of the provider at `url`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stepdown.yaml").write_text(PREFERENCES.replace("URL", url))
    return folder.resolve()


def declared(port: int, unit_id: str, unit: str = "complete-slice", **more: Any) -> dict[str, Any]:
    """Send a request of a declared unit; its answer."""
    headers = {"x-api-key": "sk-ant-its-own", "x-stepdown-unit": unit, "x-stepdown-unit-id": unit_id}
    status, _, body = ask(port, "POST", "/v1/messages", message(**more), headers)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
    return answer


def nearly_enough(project: Path, ledger_file: str = "") -> None:
    """Nine units of a kind were too weakly done on the light tier: one more, and the next starts higher."""
    with open_ledger(ledger_file) as ledger:
        for number in range(9):
            rating = Rating(
                project=str(project),
                unit_type="complete-slice",
                unit_id=f"M000/S{number:02}",
                word="under",
                tier=Tier.LIGHT,
                pattern="complete-slice",
                model="anthropic/claude-haiku-4-5",
                at=time.time() - 1000 + number,
            )
            ledger.rate(rating)


class Seen:
    """A page in a browser, and what the browser complains of."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(15_000)
        self.page.goto(url)
        self.page.wait_for_selector('#connection[data-state="live"]')

    def numbers(self, selector: str) -> list[float | None]:
        """The exact numbers below an element, in order."""
        found: list[float | None] = self.page.evaluate(
            "selector => [...document.querySelectorAll(selector + ' [data-value]')].map(one => JSON.parse(one.dataset.value))",
            selector,
        )
        return found

    def violations(self) -> list[str]:
        """What axe finds wrong, a line each; the page was opened in a context that lets it in."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [f"{one['id']}: {one['help']} ({one['nodes'][0]['html'][:160]})" for one in found]


@contextlib.contextmanager
def seen(browser: Browser, url: str, **look: Any) -> Iterator[Seen]:
    """The page in a window of its own."""
    context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **look})
    try:
        yield Seen(context, url)
    finally:
        context.close()


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for something that nothing tells of."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.05)
