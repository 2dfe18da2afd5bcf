"""An audit that can be shown to others."""

import msgspec
import pytest
from audits import empty_audit, full_audit, with_strings
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.audit.anonymous import anonymous
from stepdown.audit.compose import ASSUMPTIONS
from stepdown.audit.records import Audit, Day, Line, Move, Place, Projection, TopUnit, Trouble
from stepdown.catalog import Catalog
from stepdown.units import Tokens

FULL = full_audit()
SMALL = full_audit(days=2)
CATALOG = Catalog.load()
SHOP, NOTES = "/home/ada/src/shop", "/home/ada/notes"
KNOWN = "claude-opus-4-6"


def replaced(audit: Audit, **fields: object) -> Audit:
    return msgspec.structs.replace(audit, **fields)


def top(project: str = "", type_: str = "execute-task", model: str = KNOWN, id_: str = "M001/S01/T02") -> TopUnit:
    return TopUnit(
        at=0.0,
        project=project,
        agent="claude",
        type=type_,
        id=id_,
        model=model,
        tier="heavy",
        work="light",
        requests=1,
        tokens=Tokens(),
        usd=1.0,
    )


def lines(**usd: float) -> tuple[Line, ...]:
    return tuple(Line(key=key, usd=amount) for key, amount in usd.items())


def keys(found: tuple[Line, ...]) -> list[str]:
    return [line.key for line in found]


def test_projects_are_numbered_by_money_and_the_same_everywhere() -> None:
    projects = (Line(key=NOTES, usd=1.0), Line(key=SHOP, usd=5.0), Line(key="unknown", usd=9.0))
    shown = anonymous(replaced(FULL, projects=projects, top=(top(SHOP), top("/elsewhere"), top(NOTES)), project=NOTES), CATALOG)
    assert keys(shown.projects) == ["project 2", "project 1", "unknown"]
    assert [unit.project for unit in shown.top] == ["project 1", "project 3", "project 2"]
    assert shown.project == "project 2"
    assert shown.anonymous


def test_models_of_the_catalogue_keep_their_names() -> None:
    before = replaced(FULL, models=lines(acme=9.0, **{KNOWN: 8.0, f"{KNOWN}[1m]": 7.0, "acme/two": 6.0, "": 5.0}))
    moves = (Move(type="execute-task", before="acme", after=f"anthropic/{KNOWN}", units=1, usd=1.0, net_usd=1.0),)
    before = replaced(
        before, routing=(Projection(mode="full", moves=moves),), top=(top(model="acme/two"),), unknown_models=lines(acme=0.0)
    )
    before = replaced(before, days=(Day(day="2026-01-02", total=Line(key="2026-01-02"), models=lines(acme=1.0)),))
    shown = anonymous(before, CATALOG)
    assert keys(shown.days[0].models) == ["model 1"]
    assert keys(shown.models) == ["model 1", KNOWN, f"{KNOWN}[1m]", "model 2", ""]
    assert (shown.routing[0].moves[0].before, shown.routing[0].moves[0].after) == ("model 1", f"anthropic/{KNOWN}")
    assert shown.top[0].model == "model 2"
    assert keys(shown.unknown_models) == ["model 1"]


def test_the_shipped_catalogue_is_the_one_that_counts() -> None:
    shown = anonymous(replaced(FULL, models=lines(**{KNOWN: 2.0, "in-house-1": 1.0})))
    assert keys(shown.models) == [KNOWN, "model 1"]


def test_kinds_of_units_that_a_user_named_lose_their_names() -> None:
    types = lines(**{"subagent/acme-payments": 3.0, "subagent/Explore": 2.0, "hook/title": 1.5, "hook/acme": 1.0, "odd": 0.5})
    shown = anonymous(replaced(FULL, types=types, top=(top(type_="subagent/acme-payments"),)), CATALOG)
    assert keys(shown.types) == ["subagent/kind 1", "subagent/Explore", "hook/title", "hook/kind 2", "kind 3"]
    assert shown.top[0].type == "subagent/kind 1"


def test_units_have_no_ids_and_places_no_paths() -> None:
    shown = anonymous(FULL, CATALOG)
    assert {unit.id for unit in shown.top} == {""}
    assert [(place.title, place.path) for place in shown.places] == [(place.title, "") for place in FULL.places]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("permission denied", "permission denied"),
        ("[Errno 13] Permission denied: '/home/ada/my work/x.jsonl'", "[Errno 13] Permission denied: …"),
        ("[Errno 5] Input/output error: '/home/ada'", "[Errno 5] Input/output error: …"),
        ("cannot open C:\\Users\\Ada Byron\\x", "cannot open …"),
        ("in ~/acme secret", "in …"),
        ('no table "ada x"', "no table …"),
        ("requests billed as 'fast', whose price is not known", "requests billed as 'fast', whose price is not known"),
        ("another agent's lines", "another agent's lines"),
    ],
)
def test_words_of_others_end_where_a_path_begins(text: str, left: str) -> None:
    place = Place(agent="pi", title="pi", path="/p", error=text)
    shown = anonymous(replaced(empty_audit(), places=(place,), troubles=(Trouble(what=text, count=1),)), CATALOG)
    assert shown.places[0].error == left
    assert shown.troubles == (Trouble(what=left, count=1),)


def test_troubles_that_differed_in_a_path_are_one() -> None:
    troubles = (
        Trouble(what="torn lines", count=3),
        Trouble(what="files in /a x", count=2),
        Trouble(what="files in /b", count=2),
    )
    shown = anonymous(replaced(FULL, troubles=troubles), CATALOG)
    assert shown.troubles == (Trouble(what="files in …", count=4), Trouble(what="torn lines", count=3))


def test_sentences_of_ours_are_left_whole() -> None:
    own = (*ASSUMPTIONS, "Saved ~$3 of tokens read and/or written; 5 / 6.", "Prices are from /home/ada/prices.yaml, and more")
    shown = anonymous(replaced(FULL, assumptions=own), CATALOG)
    assert shown.assumptions == (*own[:-1], "Prices are from …")


def test_the_numbers_stay() -> None:
    shown = anonymous(FULL, CATALOG)
    assert shown.total == FULL.total
    assert [day.total for day in shown.days] == [day.total for day in FULL.days]
    assert [line.usd for line in shown.projects] == [line.usd for line in FULL.projects]
    assert shown.windows == FULL.windows


def test_what_is_anonymous_stays_as_it_is() -> None:
    shown = anonymous(FULL, CATALOG)
    assert anonymous(shown, CATALOG) == shown


# Letters that no word of an audit is made of, so that what is found was not there by chance.
secrets = st.text("QXZ日/\\ .'\"~-", min_size=3, max_size=20).filter(lambda text: any(letter in text for letter in "QXZ日"))


@settings(max_examples=50)
@given(st.data())
def test_no_name_of_the_history_is_left(data: st.DataObject) -> None:
    named: dict[str, str] = {}

    def secret(text: str) -> str:
        return named.setdefault(text, data.draw(secrets))

    public = {line.key for line in SMALL.types} | {one.agent for one in SMALL.places} | {"full", "delegated", "5h", "week"}
    public |= {place.title for place in SMALL.places} | {
        "UTC",
        "estimated",
        "reported",
        "total",
        SMALL.since,
        *SMALL.assumptions,
    }
    public |= {note for check in SMALL.checks for note in check.notes} | {
        kept.why for one in SMALL.routing for kept in one.kept
    }
    public |= {one.what for one in SMALL.troubles} | {place.error for place in SMALL.places}
    audit = with_strings(SMALL, secret, keep=public)
    # Names also stand in sentences.
    word = data.draw(st.sampled_from(sorted(set(named.values()))))
    audit = replaced(
        audit,
        assumptions=(f"The price of {word} is its user's own.",),
        troubles=(Trouble(what=f"lines of {word} that are torn", count=2),),
        project=data.draw(st.sampled_from(["", *named.values()])),
    )
    text = msgspec.json.encode(anonymous(audit, CATALOG)).decode()
    for name in named.values():
        assert msgspec.json.encode(name).decode()[1:-1] not in text
