"""The live page as somebody has it open all day: a real gateway, a real browser, both colour schemes."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import running_browser
from live_page import AXE, declared, nearly_enough, project_at, seen, until
from pages_seen import CONTRASTS
from playwright.sync_api import Browser, expect
from running_gateway import RunningGateway, ask, running

from stepdown.ledger import open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.savings import of_accounts

pytestmark = pytest.mark.xdist_group("browser")
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running_one:
        yield running_one


@pytest.fixture
def project(tmp_path: Path, served: PracticeProvider) -> Path:
    return project_at(tmp_path / "shop", served.url)


@pytest.fixture
def gateway(project: Path) -> Iterator[RunningGateway]:
    with running(project) as one:
        yield one


def test_a_request_is_seen_while_it_runs_and_when_it_has_ended(browser: Browser, tmp_path: Path) -> None:
    slow = PracticeProvider(latency=0.0, faults=[Fault(kind="slow", pause=0.4, pieces=8, times=0)])
    slow.start()
    try:
        with running(project_at(tmp_path / "shop", slow.url)) as gateway, seen(browser, gateway.url) as looked:
            page = looked.page
            expect(page.locator("#doing")).to_contain_text("Nothing is under way")
            expect(page.locator("#units")).to_contain_text("No unit of work is recorded yet")
            expect(page.locator("#requests")).to_contain_text("None has passed")

            asking = threading.Thread(target=declared, args=(gateway.port, "M001/S01"), kwargs={"stream": True})
            asking.start()
            under_way = page.locator("#doing li")
            expect(under_way).to_contain_text("complete-slice M001/S01")
            expect(under_way.locator(".badge")).to_have_attribute("title", "light")
            expect(under_way).to_contain_text("haiku-4-5")
            expect(under_way).to_contain_text("instead of opus-4-6")
            asking.join()

            expect(page.locator("#doing")).to_contain_text("Nothing is under way")
            request = page.locator("#requests tbody tr")
            expect(request).to_have_count(1)
            expect(request).to_contain_text("haiku-4-5")
            unit = page.locator("#units tbody tr")
            expect(unit).to_have_count(1)
            expect(unit).to_contain_text("complete-slice M001/S01")
            expect(unit).to_contain_text("open")
            assert looked.complaints == []
    finally:
        slow.stop()


def test_a_rating_says_what_follows_and_the_next_unit_runs_higher(
    browser: Browser, gateway: RunningGateway, project: Path
) -> None:
    nearly_enough(project)
    with seen(browser, gateway.url) as looked:
        page = looked.page
        assert declared(gateway.port, "M001/S01")["model"] == "claude-haiku-4-5"
        row = page.locator("#units tbody tr", has_text="M001/S01")
        row.get_by_role("button", name="under").click()

        expect(page.locator("#said")).to_contain_text("rated under: counts as 2 failures at light")
        expect(page.locator("#said")).to_contain_text("The next similar unit starts at standard")
        expect(row.get_by_role("button", name="under")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#learned")).to_contain_text("complete-slice starts at standard instead of light")

        assert declared(gateway.port, "M001/S02")["model"] == "claude-sonnet-4-6"
        later = page.locator("#units tbody tr", has_text="M001/S02")
        expect(later.locator(".badge")).to_have_attribute("title", "standard")

        row.get_by_role("button", name="over").click()  # the last word counts
        expect(row.get_by_role("button", name="over")).to_have_attribute("aria-pressed", "true")
        expect(row.get_by_role("button", name="under")).to_have_attribute("aria-pressed", "false")
        assert looked.complaints == []
    with open_ledger() as ledger:
        rating = ledger.rating(str(project), "complete-slice", "M001/S01")
        assert rating is not None
        assert rating.word == "over"


def test_the_mode_is_switched_and_everything_is_pinned(browser: Browser, gateway: RunningGateway) -> None:
    with seen(browser, gateway.url) as looked:
        page = looked.page
        expect(page.get_by_role("button", name="delegated")).to_have_attribute("aria-pressed", "true")
        page.get_by_role("button", name="observe").click()
        expect(page.locator("#said")).to_contain_text("Mode observe: records what it would do, changes nothing")
        expect(page.get_by_role("button", name="observe")).to_have_attribute("aria-pressed", "true")
        assert declared(gateway.port, "M001/S01")["model"] == "claude-opus-4-6"
        expect(page.locator("#requests tbody tr").first).to_contain_text("would be haiku-4-5")

        page.get_by_role("button", name="delegated").click()
        expect(page.get_by_role("button", name="delegated")).to_have_attribute("aria-pressed", "true")
        page.locator("#pinning summary").click()
        page.get_by_label("Everything on").fill("no-such-model")
        page.locator("#do-pin").click()
        expect(page.locator("#said .wrong")).to_contain_text("'no-such-model' is neither a tier nor a model")
        expect(page.locator("#pinning")).to_have_attribute("open", "")  # what is told anew leaves it as it was
        page.get_by_label("Everything on").fill("standard")
        page.locator("#do-pin").click()
        expect(page.locator("#head")).to_contain_text("Everything is pinned to standard until")
        assert declared(gateway.port, "M001/S02")["model"] == "claude-sonnet-4-6"
        page.get_by_role("button", name="Let go").click()
        expect(page.locator("#pinning")).to_be_visible()
        assert declared(gateway.port, "M001/S03")["model"] == "claude-haiku-4-5"
        # The browser itself notes that a word was not taken.
        assert [line for line in looked.complaints if "422" not in line] == []


def test_the_numbers_are_the_ledgers(browser: Browser, gateway: RunningGateway, project: Path) -> None:
    for number in range(3):
        declared(gateway.port, f"M001/S{number:02}")
    declared(gateway.port, "M001/S09", "replan-slice")
    for number in range(3):
        ask(gateway.port, "POST", "/v1/stepdown/rate", {"word": "ok", "unit": f"M001/S{number:02}"})
    with seen(browser, gateway.url) as looked:
        expect(looked.page.locator("#sums")).to_contain_text("3 attempts")
        with open_ledger() as ledger:
            accounts = ledger.accounts(str(project))
            records = ledger.records(str(project))
        saved = of_accounts(accounts)
        assert saved.downgraded == 3
        assert looked.numbers("#spent-3") == [pytest.approx(sum(one.usd for one in accounts))]
        assert looked.numbers("#net-3") == [pytest.approx(saved.net_usd)]
        split = [looked.numbers(f"#split-{name}") for name in ("cheaper", "failed", "cache")]
        assert split == [[pytest.approx(saved.cheaper_usd)], [0.0], [0.0]]
        for record in records:
            row = f'#units tr[id="unit-{record.attempt.unit_type}%20{record.attempt.unit_id}"]'
            used = record.so_far if record.outcome is None else record.outcome
            assert used.tokens is not None
            assert looked.numbers(row)[:2] == [used.tokens.total, *looked.numbers(row)[1:2]]
            assert pytest.approx(used.cost_usd) in looked.numbers(row)
        meter = looked.page.get_by_role("meter", name="budget ceiling")
        expect(meter).to_be_visible()
        spent = sum((record.outcome.cost_usd if record.outcome else record.so_far.cost_usd) or 0.0 for record in records)
        until(lambda: looked.numbers("#meters")[0] == pytest.approx(spent / 0.01, rel=0.01))


def test_a_receipt_opens_on_a_click_and_by_keyboard(browser: Browser, gateway: RunningGateway) -> None:
    declared(gateway.port, "M001/S01")
    with seen(browser, gateway.url) as looked:
        page = looked.page
        link = page.get_by_role("link", name="complete-slice M001/S01")
        link.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text("Why this model")
        expect(dialog).to_contain_text("light by default (complete-slice)")
        expect(dialog).to_contain_text("anthropic/claude-haiku-4-5")
        expect(dialog.get_by_role("heading", level=2)).to_be_focused()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(link).to_be_focused()
        page.goto(gateway.url + "/page/unit?unit=complete-slice%20M001/S01")  # and as a page of its own, to be linked to
        expect(page.get_by_role("heading", level=2)).to_contain_text("complete-slice M001/S01")
        assert looked.complaints == []


def test_the_page_outlives_the_gateway(browser: Browser, project: Path) -> None:
    gateway = RunningGateway(project)
    with seen(browser, gateway.url) as looked:
        page = looked.page
        declared(gateway.port, "M001/S01")
        expect(page.locator("#units tbody tr")).to_have_count(1)
        assert gateway.stop() == 0
        expect(page.locator('#connection[data-state="lost"]')).to_contain_text("not connected")
        again = RunningGateway(project, "--port", str(gateway.port))
        try:
            expect(page.locator('#connection[data-state="live"]')).to_be_visible()
            declared(again.port, "M001/S02")
            expect(page.locator("#units tbody tr")).to_have_count(2)
            page.locator("#units tbody tr", has_text="S02").get_by_role("button", name="ok").click()
            expect(page.locator("#said")).to_contain_text("rated ok")
        finally:
            again.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1360])
def test_it_can_be_read_by_everybody(browser: Browser, gateway: RunningGateway, scheme: Any, width: int) -> None:
    for number in range(3):
        declared(gateway.port, f"M001/S{number:02}/a-name-that-is-rather-long-and-has-no-place-to-break-it-anywhere-{'x' * 60}")
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "bypass_csp": True}
    with seen(browser, gateway.url, **look) as looked:
        page = looked.page
        expect(page.locator("#units tbody tr")).to_have_count(3)
        page.locator("#units a").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        if AXE.exists():
            assert looked.violations() == []
        page.keyboard.press("Escape")
        if AXE.exists():
            assert looked.violations() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        seen_contrasts = page.evaluate(CONTRASTS)
        assert seen_contrasts["text"] >= 4.5
        assert (seen_contrasts["paper"] > 0.5) is (scheme == "light")
        assert looked.complaints == []


def test_everything_is_reached_by_keyboard_and_told_anew_where_the_reader_is(browser: Browser, gateway: RunningGateway) -> None:
    declared(gateway.port, "M001/S01")
    with seen(browser, gateway.url) as looked:
        page = looked.page
        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        for wanted in ("project", "mode-observe", "Pin", "under-complete-slice%20M001/S01", "complete-slice M001/S01"):
            assert wanted in reached
        # What is told anew takes the focus from nobody.
        page.locator('[id="under-complete-slice%20M001/S01"]').focus()
        declared(gateway.port, "M001/S02")
        expect(page.locator("#units tbody tr")).to_have_count(2)
        assert page.evaluate("document.activeElement.id") == "under-complete-slice%20M001/S01"


def test_a_token_is_asked_for_once(browser: Browser, project: Path) -> None:
    with running(project, STEPDOWN_GATEWAY_TOKEN="open-sesame") as gateway:
        context = browser.new_context()
        page = context.new_page()
        page.goto(gateway.url)
        page.get_by_label("token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not this gateway's token")
        page.get_by_label("token").fill("open-sesame")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector('#connection[data-state="live"]')
        [cookie] = context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert "sesame" not in cookie["value"]
        context.close()


def test_older_units_are_found_without_scripts(browser: Browser, gateway: RunningGateway) -> None:
    for number in range(23):
        declared(gateway.port, f"M001/S{number:02}")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(gateway.url)
    expect(page.locator("#units tbody tr")).to_have_count(20)
    page.get_by_role("link", name="All units").click()
    page.get_by_role("link", name="Older ones").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_label("Ids that start with").fill("M001/S1")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.goto(gateway.url)
    page.locator("#units tbody tr").first.get_by_role("button", name="ok").click()
    expect(page.locator("#units tbody tr").first.get_by_role("button", name="ok")).to_have_attribute("aria-pressed", "true")
    context.close()
