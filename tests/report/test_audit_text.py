"""What an audit looks like on the screen."""

import re

import msgspec
import pytest
from audits import empty_audit, full_audit, losing, with_strings
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.audit.records import Audit, Check, Kept, Line, Place, Projection, Trouble, Window
from stepdown.report.audit_text import MOST_LINES, render_text
from stepdown.report.tables import text_width
from stepdown.units import Tokens

FULL = full_audit()
MODES = ("full", "delegated", "5h", "week")
HISTORIES = (full_audit(days=3), full_audit(days=12, models=60), losing(full_audit(days=2)), empty_audit())
NOON = 1_762_171_200.0
"""3 Nov 2025, 12:00 UTC."""


def replaced(audit: Audit, **fields: object) -> Audit:
    return msgspec.structs.replace(audit, **fields)


def cells(shown: str, beginning: str) -> list[str]:
    """The cells of the first row of a table that begins so."""
    row = next(line for line in shown.splitlines() if line.startswith(beginning))
    return re.split(r" {2,}", row.strip())


def routed(cheaper: float, failed: float, cache: float, low: float, high: float) -> Audit:
    made = Projection(
        mode="full",
        units=10,
        moved=4,
        spent_usd=100.0,
        routed_usd=100.0 - cheaper + failed + cache,
        cheaper_usd=cheaper,
        failed_usd=failed,
        cache_usd=cache,
        low_usd=low,
        high_usd=high,
    )
    return replaced(FULL, routing=(made,))


def test_the_first_lines_say_whose_history_it_is_and_what_it_cost() -> None:
    lines = render_text(FULL).splitlines()
    assert lines[0] == "Audit of Claude Code, Codex, OpenCode, 28 Sep to 21 Nov 2026 (since 2026-09-28)"
    assert lines[1].startswith(
        f"{FULL.sessions} sessions, {FULL.total.units} units, {FULL.total.requests:,} requests, 1,273 copies"
    )
    assert lines[2] == f"Spent ~${FULL.total.usd:.2f} at API prices; 91 % of all prompt tokens came from a cache"


def test_one_table_by_model_agent_and_work() -> None:
    shown = render_text(FULL, 120)
    first = FULL.models[0]
    row = cells(shown, f"  {first.key}")
    assert row[:4] == [first.key, str(first.units), f"{100 * first.units / FULL.total.units:.0f} %", f"{first.requests:,}"]
    assert row[5:] == [f"~${first.usd:.2f}", f"{100 * first.usd / FULL.total.usd:.0f} %"]
    assert cells(shown, "  Claude Code")[0] == "Claude Code"
    assert [cells(shown, f"  {line.key}")[1] for line in FULL.work] == [str(line.units) for line in FULL.work]


def test_projects_stand_where_there_is_only_one_agent() -> None:
    shown = render_text(replaced(FULL, agents=FULL.agents[:1], windows=(), checks=()), 120)
    assert "\nProject\n" in shown
    assert "\nAgent\n" not in shown
    assert cells(shown, "  shop")[0] == "shop"
    assert "/home/ada" not in shown


def test_directories_of_the_same_name_are_told_apart() -> None:
    lines = tuple(Line(key=key, units=1, requests=1, usd=1.0) for key in ("/a/x/api", "/a/y/api", "C:\\w\\docs", "/"))
    shown = render_text(replaced(FULL, agents=FULL.agents[:1], projects=lines, windows=(), checks=()))
    for name in ("  x/api", "  y/api", "  docs", "  / "):
        assert f"\n{name}" in shown


def test_what_is_unknown_is_no_zero() -> None:
    line = Line(key="acme-1", units=2, requests=30, unknown=30)
    audit = replaced(FULL, total=line, models=(line,), agents=(), projects=(), work=(), routing=(), unknown_models=(line,))
    shown = render_text(audit)
    assert "Spent: unknown, as no model in it has a known price" in shown
    assert cells(shown, "  acme-1")[-2:] == ["unknown", "30"]
    assert "No known price, and in no sum: 30 requests of acme-1\n" in shown
    assert "$0.00" not in shown.partition("Windows")[0]


def test_what_is_partly_unknown_says_how_much_is_missing() -> None:
    names = tuple(Line(key=f"acme-{number}", requests=number, unknown=number) for number in range(5, 0, -1))
    shown = render_text(replaced(FULL, unknown_models=names), 200)
    number = FULL.total.unknown
    assert f"No known price, and in no sum: {number} requests of acme-5 (5), acme-4 (4), acme-3 (3), 2 more\n" in shown


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (
            routed(cheaper=30.0, failed=7.0, cache=3.0, low=-4.0, high=27.0),
            [
                "Routing would have saved ~$20.00 of ~$100.00 (20 %), 4 of 10 units moved.",
                "Range ~$4.00 lost (failures as on a hard benchmark) to ~$27.00 (none).",
                "Saved by cheaper models  ~$30.00",
                "Lost to failed attempts   ~$7.00",
                "Lost to cache             ~$3.00",
            ],
        ),
        (
            routed(cheaper=1.0, failed=3.5, cache=0.0, low=-9.0, high=1.0),
            ["Routing would have cost ~$2.50 more than the ~$100.00 spent (2 %), 4 of 10 units moved."],
        ),
        (
            replaced(FULL, routing=(Projection(mode="full", units=3, kept=(Kept(why="heavy work.", units=3, usd=1.0),)),)),
            ["Routing would have changed nothing; most of it: heavy work."],
        ),
        (replaced(FULL, routing=(Projection(mode="full"),)), ["What routing would have saved is unknown"]),
        (replaced(FULL, routing=(Projection(mode="delegated"),)), ["only: unknown, as none has a known cost."]),
        (replaced(FULL, routing=(Projection(mode="delegated", units=2),)), ["only: nothing would have changed."]),
    ],
)
def test_what_routing_would_have_made_of_it(audit: Audit, said: list[str]) -> None:
    shown = render_text(audit, 120)
    for part in said:
        assert part in shown


def test_delegated_work_stands_in_one_line() -> None:
    delegated = next(one for one in FULL.routing if one.mode == "delegated")
    said = f"Sub-agents, plans, errands only: ~${delegated.net_usd:.2f} saved (7 %), ~${delegated.low_usd:.2f} to"
    assert said in render_text(FULL)
    assert "errands only: ~$12.59 lost (3 %), ~$37.58 lost to ~$6.20." in render_text(losing(FULL))


def window(
    agent: str, *, at: float, full_usd: float | None = None, routed_usd: float = 0.0, used: float | None = None
) -> Window:
    return Window(
        agent=agent,
        window="5h",
        start=at - 9000,
        end=at + 9000,
        usd=10.0,
        requests=5,
        used=used,
        full=None if full_usd is None else at,
        full_usd=full_usd,
        routed_usd=routed_usd,
    )


def test_windows_that_ran_full() -> None:
    full = [(9.0, 5.0), (10.0, 9.5), (11.0, 8.9)]
    windows = [window("claude", at=NOON - 86_400 * i, full_usd=usd, routed_usd=less) for i, (usd, less) in enumerate(full)]
    windows += [window("codex", at=NOON, used=used) for used in (0.2, 0.83)]
    windows.append(window("other", at=NOON))
    shown = render_text(replaced(FULL, zone="UTC", windows=tuple(windows)))
    # The least that ever filled one is $9: two of three would have stayed below it.
    assert cells(shown, "  Claude Code, 5 hours") == ["Claude Code, 5 hours", "3", "3", "3 Nov", "~1", "unknown"]
    assert cells(shown, "  Codex, 5 hours") == ["Codex, 5 hours", "2", "0", "83 %"]
    assert cells(shown, "  other, 5 hours") == ["other, 5 hours", "1", "none seen", "unknown"]


def test_what_routing_would_have_made_of_one_full_window_is_unknown() -> None:
    shown = render_text(replaced(FULL, windows=(window("claude", at=NOON, full_usd=9.0, routed_usd=1.0),)))
    assert cells(shown, "  Claude Code, 5 hours")[4] == "unknown"


@pytest.mark.parametrize(
    ("offsets", "at", "day"),
    [
        (((0.0, 14 * 3600),), NOON, "4 Nov"),
        (((0.0, 14 * 3600), (NOON, -5 * 3600)), NOON, "3 Nov"),
        (((0.0, -5 * 3600),), NOON - 9 * 3600, "2 Nov"),
        ((), NOON, "3 Nov"),
        ((), 1e18, "unknown"),
    ],
)
def test_days_are_those_of_the_zone(offsets: tuple[tuple[float, int], ...], at: float, day: str) -> None:
    audit = replaced(FULL, offsets=offsets, windows=(window("claude", at=at, full_usd=1.0),))
    assert cells(render_text(audit), "  Claude Code, 5 hours")[3] == day


def test_the_agents_own_counts_stand_beside_ours() -> None:
    checks = (
        Check(agent="claude", sessions=12, theirs=Tokens(input=1000), ours=Tokens(input=1010), theirs_usd=2.0, ours_usd=1.9),
        Check(agent="codex", sessions=3, theirs=Tokens(input=50), ours=Tokens(input=50), differing=1),
    )
    shown = render_text(replaced(FULL, checks=checks, windows=()))
    shown = shown[shown.index("Agents' counts") :]
    assert cells(shown, "  Claude Code")[1:] == ["12", "none", "1.0k", "1.0k +1.0 %", "$2.00", "~$1.90 -5.0 %"]
    assert cells(shown, "  Codex") == ["Codex", "3", "1", "50", "50", "none", "unknown"]


def test_what_no_log_has_is_said_of_an_agents_count() -> None:
    plain = Check(agent="claude", sessions=1, theirs=Tokens(input=1_000_000), ours=Tokens(input=100_000), differing=1)
    check = msgspec.structs.replace(plain, theirs_usd=1.09, ours_usd=0.14, unlogged=Tokens(input=900_000), unlogged_usd=0.95)
    unpriced = msgspec.structs.replace(check, unlogged_usd=None)
    words = "for models in no log: titles, lost sub-agent logs"
    shown = render_text(replaced(FULL, checks=(check,), windows=()), 200)
    assert f"\nClaude Code counted $0.95 {words}\n" in shown
    shown = render_text(replaced(FULL, checks=(unpriced,), windows=()), 200)
    assert f"\nClaude Code counted 900.0k tokens {words}\n" in shown
    assert "in no log" not in render_text(replaced(FULL, checks=(plain,)), 200)


def test_windows_of_a_plan_are_not_of_one_project() -> None:
    why = "Windows of plans are of all projects together: shown without --project."
    assert f"\n{why}\n" in render_text(replaced(FULL, project="shop", windows=()))
    assert why not in render_text(replaced(FULL, windows=()))
    assert why not in render_text(replaced(FULL, project="shop"))


def test_troubles_and_assumptions_are_named_and_counted() -> None:
    troubles = tuple(Trouble(what=f"lines of kind {number}", count=9 - number) for number in range(6))
    shown = render_text(replaced(FULL, troubles=troubles), 200)
    # The sixth kind and a place that could not be read are among the rest.
    assert "uncertain: lines of kind 0 (9), lines of kind 1 (8), lines of kind 2 (7), 4 more kinds\n" in shown
    assert f"Assumed: {FULL.assumptions[0]} (all 4: --json)" in shown
    assert shown.endswith("stepdown audit --html FILE writes a page (--anonymous leaves names out).")


def test_an_invented_history_says_so_first() -> None:
    assert render_text(replaced(FULL, sample=True)).startswith("Sample: an invented history")
    assert "invented" not in render_text(FULL)


def test_ids_and_top_units_are_not_shown() -> None:
    assert not [unit.id for unit in FULL.top if unit.id and unit.id in render_text(FULL, 200)]


def test_nothing_found_says_where_was_looked() -> None:
    places = (
        Place(agent="claude", title="Claude Code", path="/home/ada/.claude/projects"),
        Place(agent="codex", title="Codex", path="/home/ada/.codex/sessions", there=True),
        Place(agent="pi", title="pi", path="/home/ada/.pi", there=True, files=1),
        Place(agent="gsd", title="GSD", path="/srv/x", there=True, error="Permission denied"),
    )
    assert render_text(replaced(empty_audit(), places=places)).splitlines() == [
        "No history of a coding agent was found. Looked in:",
        "  Claude Code  not there                        /home/ada/.claude/projects",
        "  Codex        no logs in it                    /home/ada/.codex/sessions",
        "  pi           1 log, no request                /home/ada/.pi",
        "  GSD          not readable: Permission denied  /srv/x",
        "",
        "An invented history shows what an audit looks like: stepdown audit --sample",
    ]


def test_nothing_found_within_limits_names_them() -> None:
    audit = replaced(
        empty_audit(), since="2026-01-02", project="/home/ada/shop", troubles=(Trouble(what="torn lines", count=3),)
    )
    shown = render_text(audit)
    assert shown.startswith("No request was found (project shop, since 2026-01-02). Looked in:\n")
    assert "\nNot read, or uncertain:\n  torn lines (3)\n" in shown


def test_colour_changes_no_word() -> None:
    for audit in (FULL, losing(FULL), empty_audit()):
        plain = re.sub(r"\x1b\[\d+m", "", render_text(audit, color=True))
        assert [line.rstrip() for line in plain.splitlines()] == render_text(audit).splitlines()
    assert "\x1b[32mRouting would have saved" in render_text(FULL, color=True)
    assert "\x1b[33mRouting would have cost" in render_text(losing(FULL), color=True)
    assert "\x1b" not in render_text(FULL)


amounts = st.floats(-1e9, 1e9) | st.sampled_from([0.0, 0.0004, 123_456.0, 1e12])
numbers = st.integers(0, 10**12)
names = st.text(max_size=60) | st.sampled_from(["\x1b[31mred\x1b[0m\r\n", "日本語" * 30, "\u202eback", "a " * 200])


@st.composite
def audits(draw: st.DrawFn) -> Audit:
    """Full histories with other names, amounts and numbers."""
    audit = draw(st.sampled_from(HISTORIES))
    seen: dict[str, str] = {}
    audit = with_strings(audit, lambda text: seen.setdefault(text, draw(names)), keep=MODES)
    times = draw(st.sampled_from([1.0, 1e-6, 1e6]))

    def scaled(line: Line) -> Line:
        return msgspec.structs.replace(line, usd=line.usd * times, requests=line.requests + draw(numbers))

    made = [
        msgspec.structs.replace(one, cheaper_usd=draw(amounts), failed_usd=draw(amounts), low_usd=draw(amounts))
        for one in audit.routing
    ]
    return replaced(
        audit,
        total=scaled(audit.total),
        models=tuple(map(scaled, audit.models)),
        work=tuple(map(scaled, audit.work)),
        routing=tuple(made),
        sample=draw(st.booleans()),
        duplicates=draw(numbers),
        project=draw(names),
        windows=audit.windows[:: draw(st.integers(1, 50))],
    )


@settings(max_examples=60)
@given(audits(), st.sampled_from([80, 100, 200]), st.booleans())
def test_it_fits_one_screen_and_cannot_drive_the_terminal(audit: Audit, width: int, color: bool) -> None:
    lines = render_text(audit, width, color).split("\n")
    assert len(lines) <= MOST_LINES
    assert max(map(text_width, lines)) <= width
    plain = re.sub(r"\x1b\[(?:[0-36]|3[1236])m", "", "\n".join(lines)) if color else "\n".join(lines)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x9b\u202e]", plain)


@pytest.mark.parametrize("width", [30, 40, 60, 79])
def test_a_narrow_terminal_cuts_no_amount_and_tells_windows_apart(width: int) -> None:
    for audit in (FULL, losing(FULL), full_audit(models=30)):
        shown = render_text(audit, width)
        assert re.findall(r"\$[\d,.]*…", shown) == []
        assert f"~${audit.total.usd:,.2f}" in shown
    if width >= 40:
        shown = render_text(FULL, width)
        assert re.findall(r"^  (Codex, .*?)  ", shown, re.MULTILINE) == ["Codex, 5 hours", "Codex, week"]
        assert "Saved by cheaper models" in shown


@settings(max_examples=20)
@given(st.integers(1, 79))
def test_a_narrow_terminal_gets_no_longer_line(width: int) -> None:
    for audit in (FULL, empty_audit()):
        assert max(map(text_width, render_text(audit, width).split("\n"))) <= width
