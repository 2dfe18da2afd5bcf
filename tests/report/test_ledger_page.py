import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from browser import running_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import BEGAN, DAY, PROJECT, everything, work
from pages_seen import CONTRASTS, NUMBERS, ODD, TABLES, Parts, assert_readable_without_seeing, shown, words
from playwright.sync_api import Browser, Page

from stepdown.ledger import Attempt, Ledger, Outcome, open_ledger
from stepdown.preferences import Budget, DynamicRouting, ModelChoice, Preferences
from stepdown.report.ledger_page import SHOWN, LedgerPage, render_page
from stepdown.report.outlook import outlook
from stepdown.report.spending import spending_report
from stepdown.report.tables import one_line
from stepdown.routing import Router
from stepdown.units import Tier, Tokens

PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6")},
    dynamic_routing=DynamicRouting(enabled=True, learning="threshold"),
    budget_ceiling=25.0,
    budgets=(Budget(unit="plan", limit=1.0, window="5h"),),
)
NOW = BEGAN + 40 * DAY
Json = dict[str, Any]


def page_of(ledger: Ledger, project: str | None = PROJECT, *, now: float = NOW) -> LedgerPage:
    return LedgerPage(
        report=spending_report(ledger, project),
        made=now,
        ratings=ledger.ratings(project),
        blocked=ledger.blocks(now),
        plans=ledger.plan_meters(),
        outlook=None if project is None else outlook(ledger, Router(PREFERENCES), project, now),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> LedgerPage:
    with open_ledger(str(tmp_path_factory.mktemp("full") / "ledger.db")) as ledger:
        everything(ledger)
        return page_of(ledger)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        yield ledger


def opened(
    browser: Browser, directory: Path, page: LedgerPage, scheme: Any = "light", width: int = 1440
) -> tuple[Page, list[str]]:
    return shown(browser, directory / "ledger.html", render_page(page), scheme, width)


# --------------------------------------------------------------------------------------------------- numbers, in a browser


def numbers_of(line: Json, whole: float) -> list[float | None]:
    """The numbers of a row of the bill, in the order in which they are read."""
    spent = line["spent"]
    known = [spent["usd"], spent["usd"] / whole] if spent["usd"] is not None else [None]
    return [
        line["units"],
        *([line["attempts"]] if line["attempts"] != line["units"] else []),
        *([line["failed"]] if line["failed"] else []),
        *([line["unverified"]] if line["unverified"] else []),
        sum(line["tokens"].values()),
        *([spent["unknown"]] if spent["unknown"] and spent["usd"] is not None else []),
        *known,
    ]


def test_the_numbers_are_those_of_the_json(browser: Browser, tmp_path: Path, full: LedgerPage) -> None:
    page, _ = opened(browser, tmp_path, full)
    tables = page.evaluate(TABLES)
    document: Json = json.loads(json.dumps(full.report.as_json()))
    saved, whole = document["savings"], document["total"]["spent"]["usd"]
    assert page.evaluate(NUMBERS, "#spent") == [whole]
    assert page.evaluate(NUMBERS, "#ceiling") == [document["counterfactual"]["usd"]]
    assert page.evaluate(NUMBERS, "#net") == [saved["net_usd"], saved["net_usd"] / saved["counterfactual_usd"]]
    assert page.evaluate(NUMBERS, ".steps") == [
        saved[name] for name in ("counterfactual_usd", "cheaper_usd", "failed_usd", "cache_usd", "spent_usd")
    ]
    for name in ("models", "tiers", "types", "agents"):
        assert tables[name] == [numbers_of(line, whole) for line in document[name][:SHOWN]], name
    assert tables["failures"] == [[number] for number in document["failures"].values()]
    for name in ("newest", "dearest"):
        assert [row[-1] for row in tables[name]] == [unit["spent"]["usd"] for unit in document[name]]
        assert all(sum(unit["tokens"].values()) in row for row, unit in zip(tables[name], document[name], strict=True))
    assert sum(row[-1] for row in tables["periods"]) == pytest.approx(whole)
    tiers = [sum(column) for column in zip(*(row[:-1] for row in tables["periods"]), strict=True)]
    by_tier = {line["key"]: line["spent"]["usd"] for line in document["tiers"]}
    assert tiers == [pytest.approx(by_tier[tier]) for tier in ("light", "standard", "heavy", "unknown")]


def test_where_the_project_stands_is_on_it(browser: Browser, tmp_path: Path, full: LedgerPage) -> None:
    page, _ = opened(browser, tmp_path, full)
    tables = page.evaluate(TABLES)
    assert full.outlook is not None
    cells = [cell for cells in full.outlook.learned.evidence.values() for cell in cells]
    assert [row[0] for row in tables["learned"]] == [cell.events for cell in cells]
    assert len(tables["ratings"]) == 3
    assert tables["budgets"] == [[gauge.meter.used] for gauge in full.outlook.budgets]
    assert [gauge.meter.name for gauge in full.outlook.budgets] == ["budget_ceiling", "5h plan (anthropic)"]
    assert "all but replan-slice to the cheapest" in page.inner_text("#budgets"), "the ledger spent more than $25"
    assert tables["plans"] == [[0.62], []], "a window that has begun anew says nothing"
    assert "starts at standard instead of light" in page.inner_text("#changes")
    assert "openai/gpt-5-mini" in page.inner_text("#blocked")


# -------------------------------------------------------------------------------------------------- look, in a browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_shapes_stand_out_in_both_schemes(browser: Browser, tmp_path: Path, full: LedgerPage, scheme: str) -> None:
    page, complaints = opened(browser, tmp_path, full, scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
    found = page.evaluate(CONTRASTS)
    assert found["text"] >= 4.5, "WCAG 2.2 AA, 1.4.3"
    assert (found["paper"] > 0.5) == (scheme == "light")
    assert complaints == []


@pytest.mark.parametrize("days", [0, 3, 400])
def test_a_phone_scrolls_one_way_only(browser: Browser, tmp_path: Path, ledger: Ledger, days: int) -> None:
    if days:
        everything(ledger, named=lambda word: word * 6, days=days)
    page, complaints = opened(browser, tmp_path, page_of(ledger, now=BEGAN + days * DAY), width=360)
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    assert complaints == []


@pytest.mark.parametrize("usd", [1_999.99, 12_345.67, 1_234_567.89])
@pytest.mark.parametrize("width", [360, 840, 900, 1280])
def test_a_fortune_is_not_cut_off(browser: Browser, tmp_path: Path, ledger: Ledger, width: int, usd: float) -> None:
    attempt = Attempt(project=PROJECT, unit_type="t", unit_id="1", tier=Tier.LIGHT, ceiling="m", downgraded=True, started=BEGAN)
    ended = Outcome(cost_usd=usd, cost_source="priced", ceiling_cost_usd=5 * usd, finished=BEGAN)
    ledger.settle(ledger.begin(attempt), ended)
    page, _ = opened(browser, tmp_path, page_of(ledger), width=width)
    cut = "() => [...document.querySelectorAll('.big dd')].filter(each => each.scrollWidth > each.clientWidth).length"
    assert page.evaluate(cut) == 0


def test_it_can_be_read_without_seeing_it(browser: Browser, tmp_path: Path, full: LedgerPage) -> None:
    assert_readable_without_seeing(opened(browser, tmp_path, full)[0])


def test_paper_is_light_and_unfolds_what_a_screen_folds(browser: Browser, tmp_path: Path, ledger: Ledger) -> None:
    names = iter(range(10_000))
    work(ledger, 10, named=lambda word: f"{word}-{next(names)}")
    page, _ = opened(browser, tmp_path, page_of(ledger), "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CONTRASTS)["paper"] == 1
    assert page.locator("#models-more").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


# ------------------------------------------------------------------------------------------------------ without a browser


@settings(max_examples=30, deadline=None)
@given(ODD)
def test_any_name_is_only_ever_text(odd: str) -> None:
    def made(word: str) -> LedgerPage:
        with open_ledger("memory:") as ledger:
            names: dict[str, str] = {}
            # Named so that nothing changes places for its name.
            everything(ledger, named=lambda text: names.setdefault(text, f"x{len(names):04}{word}"), days=4)
            return page_of(ledger, now=BEGAN + 4 * DAY)

    page, plain = made(odd), made("plain")
    parts = Parts(render_page(page))
    assert {tag for tag, _ in parts.tags} == {tag for tag, _ in Parts(render_page(plain)).tags}
    assert one_line(page.report.models[0].key) in "".join(parts.text)
    # Of a type that no terminal could print nothing is learned, so that this part is left out of the comparison.
    page, plain = (msgspec.structs.replace(one, outlook=None) for one in (page, plain))
    render_page(page).encode("utf-8")
    assert Parts(render_page(page)).tags == Parts(render_page(plain)).tags


def test_a_hostile_project_is_only_text(ledger: Ledger) -> None:
    project = '/tmp/<script>alert("1")</script>\x1b[2J'
    everything(ledger, project=project, days=2)
    for shown_of in (project, None):
        page = render_page(page_of(ledger, shown_of))
        assert "script" not in {tag for tag, _ in Parts(page).tags}
        assert "\x1b" not in page


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from([*Tier, None]), st.none() | st.floats(0, 1e4)), max_size=25))
def test_what_is_drawn_adds_up(done: list[tuple[int, Tier | None, float | None]]) -> None:
    with open_ledger("memory:") as ledger:
        for number, (day, tier, cost) in enumerate(done):
            attempt = Attempt(project=PROJECT, unit_type="t", unit_id=str(number), tier=tier, started=BEGAN + day * DAY)
            known = "unknown" if cost is None else "reported"
            ledger.settle(ledger.begin(attempt), Outcome(cost_usd=cost, cost_source=known, finished=BEGAN + day * DAY))
        page = page_of(ledger)
    total, values = page.report.total, Table(render_page(page))
    costs = [cost for _, _, cost in done if cost is not None]
    assert sum(values.of("periods")) == pytest.approx(2 * sum(costs) if any(costs) else 0)
    for group in ("types", "tiers"):
        lines = getattr(page.report, group)
        assert sum(line.attempts for line in lines) == total.attempts == len(done)
        assert sum(line.spent.usd or 0 for line in lines) == pytest.approx(total.spent.usd or 0)
    if done and not costs:
        assert "~$0.00" not in words(render_page(page))
        assert total.spent.usd is None


class Table:
    """The numbers of a page's tables."""

    def __init__(self, page: str) -> None:
        self._page = page

    def of(self, name: str) -> list[float]:
        table = re.search(rf'<table[^>]* id="{name}">.*?</table>', self._page, re.DOTALL)
        found = re.findall(r'data-value="([^"]*)"', table[0]) if table else []
        return [value for value in map(json.loads, found) if value is not None]


def test_nothing_recorded_says_what_to_do(ledger: Ledger) -> None:
    text = words(render_page(page_of(ledger)))
    assert "Nothing is recorded of shop yet" in text
    for command in ("plan", "run", "connect", "audit"):
        assert f"stepdown {command}" in text
    assert "$" not in text
    assert "Nothing is recorded of all projects yet" in words(render_page(page_of(ledger, None)))


def test_only_unknown_costs_are_nowhere_zero(ledger: Ledger) -> None:
    work(ledger, 5, known=False)
    page = page_of(ledger)
    text = words(render_page(msgspec.structs.replace(page, outlook=None)))
    assert "Spent unknown No attempt has a known cost." in text
    assert "At the ceiling unknown" in text
    assert "What that saved is unknown" in text
    assert "there is nothing to draw" in text
    assert "none has a known cost" in text
    assert "$0" not in text


def test_an_attempt_under_way_is_no_cost_yet(ledger: Ledger) -> None:
    ledger.begin(Attempt(project=PROJECT, unit_type="run-uat", unit_id="S01", started=BEGAN, reserved_usd=0.5))
    text = words(render_page(page_of(ledger)))
    assert "1 has not ended; ~$0.50 is set aside for it" in re.sub(r" (?=[.,;])", "", text)
    assert "Nothing has ended yet." in text
    assert "running" in text


def test_a_loss_is_called_one(ledger: Ledger) -> None:
    attempt = Attempt(project=PROJECT, unit_type="t", unit_id="1", tier=Tier.LIGHT, ceiling="m", downgraded=True, started=BEGAN)
    ended = Outcome(cost_usd=2.0, cost_source="reported", ceiling_cost_usd=1.0, tokens=Tokens(input=1), finished=BEGAN)
    ledger.settle(ledger.begin(attempt), ended)
    text = words(render_page(page_of(ledger)))
    assert "Routing cost more ~$1.00 100 %" in text
    assert "$2.00 spent" in text, "what was measured has no mark"
    assert "~$2.00" not in text


def test_a_long_past_is_a_small_page(ledger: Ledger) -> None:
    work(ledger, 400)
    page = render_page(page_of(ledger))
    assert len(page.encode()) < 150_000
    assert "per week" in words(page)


def test_all_projects_are_told_apart(ledger: Ledger) -> None:
    everything(ledger, days=3)
    everything(ledger, project="/home/ada/blog", days=3)
    page = render_page(page_of(ledger, None))
    text = words(page)
    assert "What all projects cost" in text
    assert "/home/ada/blog" in text
    assert "Budgets are a project" in text
    assert len(Table(page).of("projects")) > 4


def test_the_page_needs_nothing_but_itself(full: LedgerPage) -> None:
    page = render_page(full)
    assert page.startswith("<!DOCTYPE html>\n")
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in page
    assert not {"script", "link", "img", "iframe", "a"} & {tag for tag, _ in Parts(page).tags}
    assert not re.search(r"url\(|@import|https?:", page)
