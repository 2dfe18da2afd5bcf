import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from audits import empty_audit, full_audit, losing, with_strings
from browser import running_browser
from hypothesis import given, settings
from pages_seen import CONTRASTS, NUMBERS, ODD, TABLES, Parts, assert_readable_without_seeing, shown, words
from playwright.sync_api import Browser, Page

from stepdown.audit.records import Audit, Cache, Line, Trouble, Window
from stepdown.money import dollars
from stepdown.report.audit_page import SHOWN_WINDOWS, render_page
from stepdown.report.tables import one_line
from stepdown.units import Tokens

FULL = full_audit()
KEPT = {"full", "delegated", "reported", "estimated", "5h", "week"}
"""Words of the records that the page decides by."""

Json = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


# --------------------------------------------------------------------------------------------------- numbers, in a browser


def opened(browser: Browser, directory: Path, audit: Audit, scheme: Any = "light", width: int = 1440) -> tuple[Page, list[str]]:
    """The page of an audit, and what the browser complains of."""
    return shown(browser, directory / "audit.html", render_page(audit), scheme, width)


def total(tokens: Json) -> int:
    return sum(tokens.values())


def line(one: Json, whole: float) -> list[float | None]:
    """The numbers of a row of the bill."""
    numbers = [one["units"], one["requests"], total(one["tokens"])]
    if one["unknown"] == one["requests"]:
        return [*numbers, None]
    return [*numbers, *([one["unknown"]] if one["unknown"] else []), one["usd"], one["usd"] / whole]


def test_every_table_has_the_numbers_of_the_json(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, FULL)
    tables = page.evaluate(TABLES)
    audit: Json = json.loads(msgspec.json.encode(FULL))
    whole, made = audit["total"]["usd"], audit["routing"]
    for name in ("models", "projects", "types", "agents"):
        assert tables[name] == [line(one, whole) for one in audit[name]], name
    assert tables["work"] == [[one["units"], one["usd"], one["usd"] / whole] for one in audit["work"]]
    assert tables["modes"] == [
        [one["moved"], one["units"], net, one["low_usd"], one["high_usd"], net / one["spent_usd"]]
        for one in made
        for net in [one["cheaper_usd"] - one["failed_usd"] - one["cache_usd"]]
    ]
    assert tables["moves"] == [[one["units"], one["usd"], one["net_usd"]] for one in made[1]["moves"]]
    assert tables["kept"] == [[one["units"], one["usd"]] for one in made[1]["kept"]]
    units = [*tables["top"], *tables["top-more"]]
    assert units == [[one["requests"], total(one["tokens"]), one["usd"], one["saved_usd"]] for one in audit["top"]]
    assert tables["troubles"] == [[one["count"]] for one in audit["troubles"]]
    assert tables["unknown-models"] == [[one["unknown"], total(one["tokens"])] for one in audit["unknown_models"]]
    assert tables["places"] == [[p["files"], p["bytes"]] if p["there"] and not p["error"] else [] for p in audit["places"]]
    tiers = ("light", "standard", "heavy")
    by_date = {
        one["day"]: [*(one["tiers"].get(tier, 0) for tier in tiers), sum(one["tiers"].values())] for one in audit["days"]
    }
    assert [row for row in tables["periods"] if any(row)] == [pytest.approx(row) for row in by_date.values() if any(row)]


def test_windows_and_checks_have_the_numbers_of_the_json(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, FULL)
    tables = page.evaluate(TABLES)
    audit: Json = json.loads(msgspec.json.encode(FULL))
    kinds = dict.fromkeys((one["agent"], one["window"]) for one in audit["windows"])
    for number, kind in enumerate(kinds, 1):
        windows = [one for one in audit["windows"] if (one["agent"], one["window"]) == kind][-SHOWN_WINDOWS:]
        # Both amounts are of the same time: where it ran full, of the time until then. What was used in all stands by the day.
        assert tables[f"windows-{number}"] == [
            [
                *([] if one["full"] is None else [one["usd"]]),
                *([] if one["used"] is None else [one["used"]]),
                one["usd"] if one["full"] is None else one["full_usd"],
                one["routed_usd"],
            ]
            for one in windows
        ]
    claude, codex = audit["checks"]
    theirs, ours = total(claude["theirs"]), total(claude["ours"])
    apart = (ours - theirs) / theirs
    assert tables["checks"] == [
        [claude["sessions"], claude["differing"], theirs, claude["theirs_usd"], ours, apart, claude["ours_usd"]],
        [codex["sessions"], total(codex["theirs"]), total(codex["ours"]), 0, None],
    ]
    assert page.evaluate(NUMBERS, "#check-notes") == [claude["unlogged_usd"], total(claude["unlogged"])]


@pytest.mark.parametrize("audit", [FULL, losing(FULL)], ids=["saving", "loss"])
def test_the_big_numbers_are_those_of_the_json(browser: Browser, tmp_path: Path, audit: Audit) -> None:
    page, _ = opened(browser, tmp_path, audit)
    full = audit.routing[1]
    easy = sum(one.usd for one in audit.work[:2])
    assert page.evaluate(NUMBERS, "#spent") == [audit.total.usd]
    assert page.evaluate(NUMBERS, "#net") == [full.net_usd, abs(full.net_usd) / full.spent_usd]
    assert page.evaluate(NUMBERS, "#easy") == [easy / audit.total.usd]
    assert page.evaluate(NUMBERS, ".steps") == [
        full.spent_usd,
        full.cheaper_usd,
        full.failed_usd,
        full.cache_usd,
        full.routed_usd,
    ]
    assert ("would have cost more" in page.inner_text(".big")) == (full.net_usd < 0)


def test_what_is_read_is_what_is_meant(browser: Browser, tmp_path: Path) -> None:
    """Dollars are written as the rest of the program does, marked as estimates, and none is without its exact value."""
    page, _ = opened(browser, tmp_path, FULL)
    pairs = page.evaluate(
        "() => [...document.querySelectorAll('[data-value]')].map(each => [each.dataset.value, each.textContent])"
    )
    amounts = [(float(value), text) for value, text in pairs if "$" in text]
    assert len(amounts) > 300
    for value, text in amounts:
        assert dollars(abs(value)).removeprefix("<") in text.replace("-", "")
    bare = [text for _, text in amounts if not text.startswith("~")]
    axes = page.locator(".axis [data-value]").all_text_contents()
    assert sorted(bare) == sorted(
        [*axes, *(dollars(told) for told in (FULL.checks[0].theirs_usd, FULL.checks[0].unlogged_usd))]
    )
    page.evaluate("() => document.querySelectorAll('[data-value]').forEach(each => { each.textContent = 'N'; })")
    assert not re.search(r"\$\d|\d %|\d (requests|units|tokens|sessions)", page.text_content("body") or "")


# -------------------------------------------------------------------------------------------------- look, in a browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_shapes_stand_out_in_both_schemes(browser: Browser, tmp_path: Path, scheme: str) -> None:
    page, complaints = opened(browser, tmp_path, msgspec.structs.replace(FULL, sample=True), scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
    found = page.evaluate(CONTRASTS)
    assert found["text"] >= 4.5, "WCAG 2.2 AA, 1.4.3"
    assert found["shapes"] >= 3, "WCAG 2.2 AA, 1.4.11"
    assert min(found["steps"]) >= 1.8, "tiers differ in brightness, not in colour alone"
    assert (found["paper"] > 0.5) == (scheme == "light")
    assert complaints == []


@pytest.mark.parametrize("audit", [FULL, full_audit(days=400, models=60), empty_audit()], ids=["weeks", "year", "nothing"])
def test_a_phone_scrolls_one_way_only(browser: Browser, tmp_path: Path, audit: Audit) -> None:
    long = with_strings(audit, lambda text: text * 9, keep=KEPT)
    page, complaints = opened(browser, tmp_path, long, width=375)
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 375
    assert complaints == []


def test_notes_are_as_wide_as_a_phone(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, FULL, width=375)
    boxes = [each.bounding_box() for each in page.locator("#check-notes li").all()]
    assert len(boxes) == 1 + sum(len(check.notes) for check in FULL.checks)
    assert min(box["width"] for box in boxes if box) > 300


def test_it_can_be_read_without_seeing_it(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, FULL)
    assert_readable_without_seeing(page)


def test_paper_is_light_and_unfolds_what_a_screen_folds(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, full_audit(models=20), "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CONTRASTS)["paper"] == 1
    assert page.locator("#models-more").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


# ------------------------------------------------------------------------------------------------------ without a browser


SMALL = full_audit(days=3)


@settings(max_examples=60, deadline=None)
@given(ODD)
def test_any_string_is_only_ever_text(odd: str) -> None:
    def numbered(word: str) -> Audit:
        names: dict[str, str] = {}
        return with_strings(SMALL, lambda text: names.setdefault(text, f"/x/{word}{len(names)}"), keep=KEPT)

    audit = numbered(odd)
    page = render_page(audit)
    page.encode("utf-8")
    parts = Parts(page)
    assert parts.tags == Parts(render_page(numbered("plain"))).tags
    for one in audit.models:
        assert one_line(one.key) in "".join(parts.text)


@pytest.mark.parametrize("audit", [FULL, empty_audit()], ids=["full", "nothing"])
def test_the_page_needs_nothing_but_itself(audit: Audit) -> None:
    page = render_page(audit)
    assert page.startswith("<!DOCTYPE html>\n")
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in page
    assert not {"script", "link", "img", "iframe", "a"} & {tag for tag, _ in Parts(page).tags}
    assert not re.search(r"url\(|@import|https?:", page)


def test_a_year_is_small() -> None:
    assert len(render_page(full_audit(days=366, models=60)).encode()) < 300_000


def test_an_anonymous_page_tells_no_path() -> None:
    page = render_page(msgspec.structs.replace(FULL, anonymous=True, projects=(), top=()))
    assert "/home/ada" in render_page(FULL)
    assert "/home/ada" not in page
    assert "permission denied" not in page
    assert "Names of projects and paths are left out" in page


def test_the_sample_says_so() -> None:
    assert "invented history" in render_page(msgspec.structs.replace(FULL, sample=True))
    assert "invented history" not in render_page(FULL)


def test_a_machine_without_logs_is_told_where_was_looked() -> None:
    text = " ".join(Parts(render_page(empty_audit())).text)
    assert "No history of a coding agent was found" in text
    assert "/home/ada/.codex/sessions" in text
    assert "stepdown audit --sample" in text
    assert "$" not in text


def said(audit: Audit) -> str:
    """The words of a page."""
    return re.sub(r"\s+", " ", "".join(Parts(render_page(audit)).text)).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def test_what_no_log_has_is_said_of_an_agents_count() -> None:
    claude, codex = FULL.checks
    assert "$0.0017 (900 tokens) for models that no log has a request of: titles, a sub-agent's lost log" in said(FULL)
    told = msgspec.structs.replace(codex, unlogged=Tokens(output=7), unlogged_usd=None)
    assert "7 tokens for models that no log has" in said(msgspec.structs.replace(FULL, checks=(told,)))
    agreed = msgspec.structs.replace(claude, unlogged=Tokens(), unlogged_usd=0.0)
    assert "no log has a request" not in said(msgspec.structs.replace(FULL, checks=(agreed,)))


def test_a_window_of_unknown_use_is_not_shown_as_nothing() -> None:
    plain = Window(agent="claude", window="5h", start=0.0, end=18e3, usd=None, requests=4, unknown=4, routed_usd=None)
    full = msgspec.structs.replace(plain, start=18e3, end=36e3, full=20e3)
    part = msgspec.structs.replace(full, start=36e3, end=54e3, full=40e3, usd=5.0, full_usd=2.0, routed_usd=1.0, unknown=1)
    text = said(msgspec.structs.replace(FULL, offsets=(), windows=(plain, full, part)))
    assert "By then unknown had been used; with routing it would have been unknown" in text
    assert "4 requests of unknown cost" in text
    text = said(msgspec.structs.replace(FULL, offsets=(), windows=(plain, part)))
    assert (
        "By then ~$2.00 had been used; with routing it would have been ~$1.00 (1 request of unknown cost is in neither)" in text
    )
    assert "1970, 11:06; ~$5.00 in the whole window" in text
    assert "~$0.00" not in text.partition("Windows of plans")[2]


def test_windows_of_a_plan_are_not_of_one_project() -> None:
    why = "A plan's windows are of all projects together. They are shown without --project."
    assert why in said(msgspec.structs.replace(FULL, windows=(), project="shop"))
    none = said(msgspec.structs.replace(FULL, windows=()))
    assert why not in none
    assert "No log says anything of a plan's window." in none


def test_what_has_no_price_is_unknown_and_not_nothing() -> None:
    only = Line(key="acme", units=1, requests=5, unknown=5)
    page = render_page(
        msgspec.structs.replace(
            empty_audit(), first=0.0, last=60.0, total=only, models=(only,), agents=(only,), unknown_models=(only,)
        )
    )
    text = re.sub(r"\s+", " ", " ".join(Parts(page).text))
    assert "Spent, at API prices unknown" in text
    assert "there is nothing to draw" in text
    assert "~$0.00" not in text.partition("Windows of plans")[2]


def test_a_unit_of_unknown_cost_is_not_free() -> None:
    known, *_ = FULL.top
    partly = msgspec.structs.replace(known, usd=1.25, unknown=2, routed="", saved_usd=0.0)
    not_at_all = msgspec.structs.replace(partly, usd=None, unknown=known.requests)
    text = words(render_page(msgspec.structs.replace(FULL, top=(partly, not_at_all))))
    units = text.partition("The dearest units Unit")[2].partition("Windows of plans")[0]
    assert "· 2 requests of unknown cost ~$1.25 unknown" in units
    assert units.strip().endswith("· cost unknown unknown unknown")
    only = words(render_page(msgspec.structs.replace(FULL, top=(not_at_all,))))
    assert "Which they are is unknown: none has a known cost. These are the largest." in only
    assert "These are the largest." not in text


UNPRICED = Cache(share=0.9, read_usd=None, write_usd=None, without_usd=None, unknown=7)


def test_what_a_cache_did_is_said_as_far_as_it_is_known() -> None:
    unknown = words(render_page(msgspec.structs.replace(FULL, cache=UNPRICED)))
    assert "Without any cache" not in unknown
    assert "7 requests of unknown cost are in none of these amounts." in unknown
    wasted = words(render_page(msgspec.structs.replace(FULL, cache=msgspec.structs.replace(FULL.cache, without_usd=-1.5))))
    assert "the same prompts would have cost ~$1.50 less." in wasted
    assert "of unknown cost" not in wasted.partition("Cache")[2].partition("Models")[0]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"since": "2026-11-01"}, ", since 2026-11-01"),
        ({"project": "/home/ada/webshop", "since": ""}, ", project webshop"),
        ({"project": "webshop", "since": "2026-11-01"}, ", project webshop, since 2026-11-01"),
        ({"project": "project 2", "anonymous": True, "since": ""}, ", project 2"),
        ({"since": ""}, ""),
    ],
)
def test_the_heading_says_what_it_is_limited_to(limits: Json, said: str) -> None:
    page = render_page(msgspec.structs.replace(FULL, **limits))
    assert f'<span class="when">28 September to 21 November 2026{said}</span>' in page
    assert f"<title>What coding agents cost, 28 September to 21 November 2026{said} ·" in page
    assert ("Only what was done in /home/ada/webshop." in page) == ("webshop" in said and limits["project"] != "webshop")


def test_a_loss_has_its_sign_before_the_mark() -> None:
    text = words(render_page(losing(FULL)))
    assert "-~$" in text
    assert not re.search(r"~[-+]", text)


def test_what_was_not_read_is_said() -> None:
    page = render_page(msgspec.structs.replace(FULL, troubles=(Trouble(what="files <b>nobody</b> could open", count=1234),)))
    assert "files &lt;b&gt;nobody&lt;/b&gt; could open" in page
    assert '<span class="n" data-value="1234">1,234</span>' in page
