"""`stepdown run --page`, in a browser: watched while it works, rated, and as far as it got when it has ended."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from browser import running_browser
from live_page import seen
from playwright.sync_api import Browser, expect

from stepdown.ledger import open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

pytestmark = pytest.mark.xdist_group("browser")
PROGRAM = Path(sys.executable).with_name("stepdown")
LYING = Fault(kind="wrong", model="claude-haiku-4-5", unit="M002/S02/T03")
"""The light model says that it wrote the manual, and did not."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def running_plan(example: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The example's plan at work, slowly enough to be watched, and the address of its page."""
    provider = PracticeProvider(faults=[LYING, Fault(kind="late", pause=1.0, times=0)])
    provider.start()
    preferences = example / ".gsd/PREFERENCES.md"
    named = f"providers:\n  practice: {{base_url: '{provider.url}'}}\nbudget_ceiling"
    preferences.write_text(preferences.read_text().replace("budget_ceiling", named, 1))
    command = [str(PROGRAM), "run", str(example), "--agent", "practice", "--yes", "--page", "--max-units", "7"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))
    assert process.stdout
    try:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        yield process, address
    finally:
        process.terminate()
        process.communicate(timeout=30)
        provider.stop()


def test_a_run_is_watched_rated_and_seen_to_its_end(
    browser: Browser, running_plan: tuple[subprocess.Popen[str], str], example: Path
) -> None:
    process, address = running_plan
    with seen(browser, address) as looked:
        page = looked.page
        expect(page.locator("#head")).to_contain_text("practice works; routing is on")
        under_way = page.locator("#doing li").first
        expect(under_way.locator(".badge")).to_be_visible()
        expect(under_way.locator(".steps li").first).to_be_visible()
        expect(under_way).to_contain_text("so far")
        expect(page.locator("#requests")).to_have_count(0)

        finished = page.locator("#units tbody tr.e-verified").first
        expect(finished).to_be_visible()
        finished.get_by_role("button", name="ok").click()
        expect(page.locator("#said")).to_contain_text("rated ok: counts as 2 successes")
        assert page.get_by_role("button", name="observe").count() == 0

        stepped = page.locator("#doing li", has_text="step up")
        expect(stepped).to_be_visible(timeout=60_000)
        expect(stepped.locator(".badge")).to_have_attribute("title", "standard")
        expect(page.locator("#head")).to_contain_text("the run has ended", timeout=60_000)
        expect(page.locator("#models")).to_contain_text("attempts")
        expect(page.locator('#connection[data-state="lost"]')).to_be_visible()
        row = page.locator("#units tbody tr", has_text="M002/S02/T03")
        expect(row.locator(".badge")).to_have_count(2)
        with open_ledger() as ledger:
            accounts = ledger.accounts(str(example.resolve()))
        assert looked.numbers("#spent-3") == [pytest.approx(sum(one.usd for one in accounts))]
        # Only that the page's own process has gone is complained of.
        assert [line for line in looked.complaints if "ERR_CONNECTION_REFUSED" not in line and "Event" not in line] == []
    assert process.wait(30) == 0


def test_the_page_of_a_run_is_nobody_elses(running_plan: tuple[subprocess.Popen[str], str]) -> None:
    _, address = running_plan
    with urlopen(Request(address, headers={"accept": "text/html"}), timeout=10) as answer:
        assert answer.status == 200
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "http://127.0.0.1:1"}):
        with pytest.raises(OSError, match="403"):
            urlopen(Request(address, headers=headers), timeout=10)


def test_a_second_run_has_a_page_too(example: Path) -> None:
    import socket  # noqa: PLC0415  (one test has somebody else at the port)

    from stepdown.cli.run_page import PORT  # noqa: PLC0415  (likewise)

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", PORT))
            other.listen()
        except OSError:
            pass  # somebody else has it already, which is the same
        command = [str(PROGRAM), "run", str(example), "--agent", "practice", "--yes", "--page", "--max-units", "1"]
        began = time.monotonic()
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert time.monotonic() - began < 30
    found = re.search(r"The page of this run: http://127\.0\.0\.1:(\d+)", said.stdout)
    assert found
    assert int(found[1]) != PORT
