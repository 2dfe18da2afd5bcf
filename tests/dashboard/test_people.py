"""The page for people: what each role sees and may do, in a real browser in front of a real gateway."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import running_browser
from live_page import AXE, Seen, project_at
from pages_seen import CONTRASTS
from playwright.sync_api import Browser, BrowserContext, expect
from running_gateway import RunningGateway, ask, message, running

from stepdown.ledger import Allowance, Person, open_ledger
from stepdown.practice.provider import PracticeProvider
from stepdown.team.keep import create, revoke

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
def tokens(project: Path) -> dict[str, str]:
    """Ana works for shop, Vic looks at it, Eve has a project of her own, Root is an administrator."""
    mine, budgets = str(project), (Allowance(limit=20.0, window="week"), Allowance(limit=2.0, unit="requests", window="day"))
    people = [
        Person(name="ana", projects=(mine,), budgets=budgets, ceiling="anthropic/claude-sonnet-4-6"),
        Person(name="vic", role="viewer", projects=(mine,)),
        Person(name="eve", projects=("/home/eve/elsewhere",), expires=time.time() + 3600),
        Person(name="root", role="admin"),
    ]
    with open_ledger() as ledger:
        return {person.name: create(ledger, person, "root@vm", time.time()) for person in people}


@pytest.fixture
def gateway(project: Path, tokens: dict[str, str]) -> Iterator[RunningGateway]:
    with running(project) as one:
        for name in ("ana", "eve"):
            works(one, tokens[name], f"M001/{name}")
        yield one


def works(gateway: RunningGateway, token: str, unit_id: str) -> None:
    headers = {"x-stepdown-token": token, "x-api-key": "k", "x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": unit_id}
    status, _, body = ask(gateway.port, "POST", "/v1/messages", message(), headers)
    assert status == 200, body


@contextlib.contextmanager
def signed_in(browser: Browser, gateway: RunningGateway, token: str, **look: Any) -> Iterator[tuple[Seen, BrowserContext]]:
    """The page of whoever has this token, who brought it at the form."""
    context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **look})
    try:
        page = context.new_page()
        page.goto(gateway.url)
        page.get_by_label("token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector('#connection[data-state="live"]')
        page.close()
        yield Seen(context, gateway.url), context
    finally:
        context.close()


def test_a_viewer_sees_and_has_no_button_that_would_be_refused(
    browser: Browser, gateway: RunningGateway, tokens: dict[str, str]
) -> None:
    with signed_in(browser, gateway, tokens["vic"]) as (looked, _):
        page = looked.page
        expect(page.locator("#whose")).to_contain_text("vic, viewer")
        expect(page.locator("#units tbody tr")).to_contain_text("M001/ana")
        assert page.locator("button:visible").all_inner_texts() == ["Sign out"]
        expect(page.locator("#pinning")).to_have_count(0)
        expect(page.locator("#people")).to_have_count(0)
        assert page.locator("#project option").all_inner_texts() == ["shop"]
        page.get_by_role("link", name="complete-slice M001/ana").click()
        expect(page.get_by_role("dialog")).to_contain_text("Why this model")
        assert looked.complaints == []


def test_a_member_rates_and_switches_nothing(browser: Browser, gateway: RunningGateway, tokens: dict[str, str]) -> None:
    with signed_in(browser, gateway, tokens["ana"]) as (looked, _):
        page = looked.page
        row = page.locator("#units tbody tr", has_text="M001/ana")
        row.get_by_role("button", name="ok").click()
        expect(page.locator("#said")).to_contain_text("rated ok")
        assert not {"observe", "delegated", "full", "Pin", "Revoke"} & set(page.locator("button").all_inner_texts())
        expect(page.locator("#head")).to_contain_text("delegated")
        expect(page.locator("#people")).to_have_count(0)
        assert "elsewhere" not in page.content()
        page.goto(f"{gateway.url}/?project=/home/eve/elsewhere")
        expect(page.locator("main")).to_contain_text("nothing is recorded of a project /home/eve/elsewhere")


def test_each_sees_what_is_theirs(browser: Browser, gateway: RunningGateway, tokens: dict[str, str]) -> None:
    with signed_in(browser, gateway, tokens["eve"]) as (looked, _):
        expect(looked.page.locator("#units tbody tr")).to_contain_text("M001/eve")
        assert "M001/ana" not in looked.page.content()


def test_an_administrator_sees_people_and_revokes_a_token(
    browser: Browser, gateway: RunningGateway, tokens: dict[str, str]
) -> None:
    with (
        signed_in(browser, gateway, tokens["root"]) as (looked, _),
        signed_in(browser, gateway, tokens["ana"]) as (other, _),
    ):
        page = looked.page
        people = page.locator("ul.people > li")
        ana = people.filter(has_text="ana")
        expect(people.filter(has_text="root")).to_contain_text("every project")
        expect(ana).to_contain_text("at most sonnet-4-6")
        expect(ana).to_contain_text("of $20.00/week")
        expect(ana).to_contain_text("1 of 2 requests/day")
        expect(ana).to_contain_text("last used")

        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Revoke the token of ana").click()
        expect(page.locator("#said")).to_contain_text("The token of ana is revoked")
        expect(ana).to_contain_text("revoked")
        expect(page.get_by_role("button", name="Revoke the token of ana")).to_have_count(0)
        page.locator("#acts summary").click()
        expect(page.locator("#acts")).to_contain_text("root · token revoked: ana")
        expect(page.locator("#acts")).to_contain_text("root@vm · token created: ana: member of")

        other.page.reload()
        expect(other.page.get_by_role("button", name="Sign in")).to_be_visible()
        assert looked.complaints == []


def test_an_open_page_of_a_revoked_token_is_told_nothing_more(
    browser: Browser, gateway: RunningGateway, tokens: dict[str, str]
) -> None:
    with signed_in(browser, gateway, tokens["vic"]) as (looked, _):
        expect(looked.page.locator("#units tbody tr")).to_have_count(1)
        with open_ledger() as ledger:
            revoke(ledger, "vic", "root@vm", time.time())
        time.sleep(2.5)
        works(gateway, tokens["ana"], "M001/later")
        expect(looked.page.locator('#connection[data-state="lost"]')).to_be_visible()
        assert "M001/later" not in looked.page.content()


def test_who_signs_out_is_out(browser: Browser, gateway: RunningGateway, tokens: dict[str, str]) -> None:
    with signed_in(browser, gateway, tokens["root"]) as (looked, context):
        looked.page.get_by_role("button", name="Sign out").click()
        expect(looked.page.get_by_role("button", name="Sign in")).to_be_visible()
        assert context.cookies() == []


def test_two_gateways_on_one_machine_do_not_sign_each_other_out(
    browser: Browser, gateway: RunningGateway, tokens: dict[str, str], project: Path
) -> None:
    with running(project) as second, signed_in(browser, gateway, tokens["root"]) as (looked, context):
        page = context.new_page()
        page.goto(second.url)
        page.get_by_label("token").fill(tokens["ana"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#whose")).to_contain_text("ana, member")
        looked.page.reload()
        expect(looked.page.locator("#whose")).to_contain_text("root, admin")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1360])
def test_it_can_be_read_by_everybody(
    browser: Browser, gateway: RunningGateway, tokens: dict[str, str], scheme: Any, width: int
) -> None:
    with open_ledger() as ledger:
        revoke(ledger, "eve", "root@vm", time.time())
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "bypass_csp": True}
    with signed_in(browser, gateway, tokens["root"], **look) as (looked, _):
        page = looked.page
        expect(page.locator("ul.people > li")).to_have_count(4)
        page.locator("#acts summary").click()
        if AXE.exists():
            assert looked.violations() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRASTS)["text"] >= 4.5
        page.goto(gateway.url)
        assert looked.complaints == []
