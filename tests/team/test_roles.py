"""Who may what: no sequence of anything lets somebody see or change what is not theirs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.ledger.records import Person
from stepdown.team.roles import OWNER, ROLES, called, home_of, may, role_for, role_of, sees

PROJECTS = ("shop", "/home/ana/shop", "bank", "b\N{LATIN SMALL LETTER A WITH DIAERESIS}nk", "", "*", "\udc80")
CHANGING = ("POST", "PUT", "DELETE", "PATCH")
people = st.builds(
    Person,
    name=st.just("ana"),
    role=st.sampled_from(list(ROLES)),
    projects=st.lists(st.sampled_from(PROJECTS), max_size=4).map(tuple),
)


@given(people, st.sampled_from(PROJECTS))
def test_a_project_is_seen_by_those_whose_it_is(person: Person, project: str) -> None:
    assert sees(person, project) == (person.role == "admin" or "*" in person.projects or project in person.projects)


@given(people, st.sampled_from(["the gateway's", *PROJECTS]))
def test_whatever_counts_where_nothing_is_named_is_theirs_or_the_gateways(person: Person, own: str) -> None:
    home = home_of(person, own)
    assert home == own if not person.projects or person.projects[0] == "*" else home == person.projects[0]


@given(people, st.sampled_from(["GET", "HEAD", *CHANGING]), st.text(max_size=30))
def test_who_only_looks_changes_nothing(person: Person, method: str, path: str) -> None:
    allowed = may(person, role_for(method, path))
    if person.role == "viewer" and method in CHANGING:
        assert not allowed
    if person.role == "admin":
        assert allowed


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/", "viewer"),
        ("GET", "/v1/stepdown/status", "viewer"),
        ("GET", "/v1/models", "viewer"),
        ("POST", "/page/sign-out", "viewer"),
        ("POST", "/v1/messages", "member"),
        ("POST", "/v1/messages/count_tokens", "member"),
        ("POST", "/v1/stepdown/rate", "member"),
        ("POST", "/page/rate", "member"),
        ("POST", "/page/whatever-comes-next", "member"),
        ("GET", "/metrics", "admin"),
        ("HEAD", "/metrics", "admin"),
        ("POST", "/v1/stepdown/mode", "admin"),
        ("DELETE", "/v1/stepdown/pin", "admin"),
        ("POST", "/page/pin", "admin"),
        ("POST", "/page/revoke", "admin"),
    ],
)
def test_what_one_has_to_be(method: str, path: str, role: str) -> None:
    assert role_for(method, path) == role


def test_who_needs_no_token_may_everything() -> None:
    assert role_of(None) == "admin"
    assert sees(None, "anything")
    assert home_of(None, "shop") == "shop"
    assert sees(OWNER, "anything")
    assert (called(None), called(OWNER), called(Person(name="ana"))) == ("-", "the gateway's token", "ana")
