"""What a client says of its request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.declared import CONVERSATION, Asked, asked
from stepdown.gateway.wire import Envelope, Unreadable
from stepdown.units import Unit


def read(model: str = "m", session: str = "", **headers: str) -> Asked:
    named = {f"x-stepdown-{name.replace('_', '-')}": value for name, value in headers.items()}
    return asked(Envelope(model=model, session=session), named)


def test_nothing_declared_is_a_conversation() -> None:
    assert read(session="s-1") == Asked(unit=Unit(CONVERSATION, "s-1"), model="m")
    assert read().unit == Unit(CONVERSATION, "")


def test_all_that_can_be_declared() -> None:
    said = read(unit="execute-task", unit_id="M001/S02/T03", project="/p", pin="heavy", attempt="a-1", session="s")
    unit = Unit("execute-task", "M001/S02/T03")
    assert said == Asked(unit=unit, declared=True, project="/p", pin="heavy", model="m", attempt="a-1")


def test_a_declared_unit_without_an_id_is_its_conversations() -> None:
    assert read(unit="execute-task", session="s-1").unit == Unit("execute-task", "s-1")


def test_a_name_alone_declares_no_type() -> None:
    said = read(unit_id="T01", session="s-1")
    assert (said.unit, said.declared) == (Unit(CONVERSATION, "T01"), False)


@pytest.mark.parametrize("tier", ["light", "standard", "heavy"])
def test_our_own_models_are_pins_without_a_ceiling(tier: str) -> None:
    said = read(f"stepdown/{tier}")
    assert (said.pin, said.model) == (tier, "")
    assert read(f"stepdown/{tier}", pin="opus").pin == "opus"  # what the request says besides is nearer


def test_auto_leaves_the_choice_to_routing() -> None:
    said = read("stepdown/auto")
    assert (said.pin, said.model) == ("", "")


@pytest.mark.parametrize("model", ["stepdown/", "stepdown/huge", "stepdown/Light", "stepdown/light/x"])
def test_other_models_of_ours_do_not_exist(model: str) -> None:
    with pytest.raises(Unreadable, match="stepdown/light, stepdown/standard") as problem:
        read(model)
    assert problem.value.status == 404


def test_names_and_paths_are_utf_8() -> None:
    """A header is bytes; what reads them takes each for a letter."""
    sent = "/home/jürgen/プロジェクト".encode().decode("latin-1")
    assert read(project=sent, unit="x", unit_id="Übung".encode().decode("latin-1")).project == "/home/jürgen/プロジェクト"
    assert read(unit="x", unit_id="\xdcbung").unit.id == "Übung"  # some write Latin-1


def test_a_path_may_be_long() -> None:
    assert read(project="/p" * 2000).project == "/p" * 2000
    with pytest.raises(Unreadable, match="4096"):
        read(project="/p" * 2100)


@pytest.mark.parametrize("header", ["unit", "unit_id", "pin", "attempt"])
@pytest.mark.parametrize("value", ["x" * 201, "a\x00b", "a\u2028b".encode().decode("latin-1"), "a\x7fb"])
def test_what_is_no_name_is_refused(header: str, value: str) -> None:
    with pytest.raises(Unreadable, match="one printable line of at most 200") as problem:
        read(**{header: value})
    assert problem.value.status == 400


@given(
    st.text(), st.dictionaries(st.sampled_from(["unit", "unit_id", "project", "pin"]), st.text(st.characters(codec="latin-1")))
)
def test_whatever_is_said_is_understood_or_refused(session: str, headers: dict[str, str]) -> None:
    refused = None
    try:
        said = read(session=session, **headers)
    except Unreadable as problem:
        refused = problem.status
    else:
        assert said.unit.id.isprintable()
        assert said.declared == bool(headers.get("unit", "").strip())
    assert refused in {None, 400}
