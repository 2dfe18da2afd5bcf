"""What is remembered of a conversation between two of its requests, and across a restart."""

from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.conversations import REMEMBERED, Conversation, Conversations, Signers
from stepdown.units import Tokens

OPUS, SONNET = "anthropic/claude-opus-4-6", "anthropic/claude-sonnet-4-6"
NOW = 1_793_500_000.0


def talked(prompt: int = 50_000, ref: str = OPUS, talk: Conversation | None = None, at: float = NOW) -> Conversation:
    talk = talk or Conversation()
    tokens = Tokens(input=100, cache_read=prompt - 1_100, cache_write=1_000, output=400)
    talk.answered(ref, tokens, "end_turn", at + 300, moved=ref != OPUS)
    return talk


def test_a_model_that_answered_has_the_conversation_in_its_cache_for_a_while() -> None:
    talk = talked()
    assert (talk.holder, talk.cached(OPUS, NOW), talk.cached(SONNET, NOW)) == (OPUS, 49_900, 0)
    assert talk.cached(OPUS, NOW + 301) == 0


def test_both_caches_are_known_after_a_change() -> None:
    talk = talked(ref=SONNET, talk=talked(), prompt=52_000, at=NOW + 10)
    assert (talk.holder, talk.moved) == (SONNET, True)
    assert (talk.cached(OPUS, NOW + 20), talk.cached(SONNET, NOW + 20)) == (49_900, 51_900)


def test_a_prompt_that_has_shrunk_is_in_no_cache() -> None:
    talk = talked(100_000)
    talk.shrink(60_000)
    assert talk.cached(OPUS, NOW) > 0
    talk.shrink(20_000)
    assert talk.cached(OPUS, NOW) == 0


def test_thinking_belongs_to_whoever_answered_before_it_appeared() -> None:
    talk, known = Conversation(), Signers()
    assert talk.authors([1, 2], OPUS, known) == {OPUS}
    talked(talk=talk, ref=SONNET)
    assert talk.authors([1, 2, 3], OPUS, known) == {OPUS, SONNET}
    assert talk.signers == {1: OPUS, 2: OPUS, 3: SONNET}
    talked(talk=talk, ref=OPUS)
    assert talk.authors([3], OPUS, known) == {SONNET}


def test_of_a_client_that_changes_models_by_itself_the_named_one_is_believed() -> None:
    talk, known = Conversation(), Signers()
    talk.answered(SONNET, None, "end_turn", NOW, moved=False)
    assert talk.authors([1, 2], OPUS, known) == {OPUS}


def test_a_question_notes_nobodys_thinking() -> None:
    known = Signers()
    known.note(1, SONNET)
    assert Conversation().authors([1, 2], OPUS, known.aside()) == {SONNET, OPUS}
    assert known.find(2) == ""


def test_a_provider_that_caches_by_itself_has_the_whole_prompt() -> None:
    talk = Conversation()
    talk.answered(OPUS, Tokens(input=30_000, output=5), "stop", NOW + 300, moved=False, automatic=True)
    assert talk.cached(OPUS, NOW) == 30_000


def test_what_is_not_replayed_any_more_is_forgotten_and_nothing_else() -> None:
    talk, known = Conversation(), Signers()
    talk.authors(range(400), OPUS, known)
    talked(talk=talk, ref=SONNET)
    talk.authors(range(300, 1_000), OPUS, known)
    assert set(talk.signers) == set(range(300, 1_000))
    assert (talk.signers[300], talk.signers[999]) == (OPUS, SONNET)
    talk.authors(range(300, 1_000), OPUS, known)
    assert (talk.signers[300], talk.signers[999]) == (OPUS, SONNET)


def test_what_was_signed_in_another_conversation_is_still_known() -> None:
    known = Conversations()
    first = known.find("/p", "a")
    first.authors([1], OPUS, known.signers)
    talked(talk=first, ref=SONNET)
    first.authors([1, 2], OPUS, known.signers)
    assert known.find("/p", "trimmed").authors([2, 3], OPUS, known.signers) == {SONNET, OPUS}
    again = Conversations([("/p", "a", first.state())])
    assert again.find("/p", "trimmed").authors([2], OPUS, again.signers) == {SONNET}


def test_what_an_answer_does_not_say_changes_no_number() -> None:
    talk = talked()
    before = talk.state()
    talk.answered(OPUS, None, "end_turn", NOW, moved=False)
    assert talk.state() == before


def test_a_unit_begins_unraised() -> None:
    talk = Conversation()
    talk.begin("execute-task", "s#1")
    talk.raised = True
    talk.begin("execute-task", "s#2")
    assert (talk.units, talk.unit_id, talk.raised) == (2, "s#2", False)


@given(
    st.lists(st.tuples(st.sampled_from([OPUS, SONNET]), st.integers(0, 10**6), st.integers(0, 10**4)), max_size=8),
    st.lists(st.integers(0, 2**64 - 1), max_size=8),
)
def test_it_is_the_same_after_a_restart(answers: list[tuple[str, int, int]], signers: list[int]) -> None:
    talk, known = Conversation(), Signers()
    talk.begin("execute-task", "s#1")
    for ref, prompt, output in answers:
        talk.authors(signers, OPUS, known)
        talk.answered(ref, Tokens(cache_read=prompt, output=output), "tool_use", NOW, moved=False)
    again = Conversation(talk.state())
    assert vars(again) == vars(talk)


def test_the_one_that_was_silent_longest_is_forgotten() -> None:
    known = Conversations()
    for number in range(REMEMBERED + 10):
        known.find("/p", f"c{number}").holder = OPUS
        known.find("/p", "c0")
    assert len(known) == REMEMBERED
    assert known.find("/p", "c0").holder == OPUS
    assert known.find("/p", "c1").holder == ""


def test_a_question_leaves_nothing_behind() -> None:
    known = Conversations()
    known.find("/p", "new", dry=True).begin("execute-task", "x")
    assert len(known) == 0
    known.find("/p", "old").begin("execute-task", "old#1")
    known.find("/p", "old", dry=True).begin("execute-task", "old#2")
    assert known.find("/p", "old").unit_id == "old#1"


def test_what_an_earlier_gateway_knew_is_there_and_what_nobody_can_read_is_not() -> None:
    known = Conversations([("/p", "a", talked().state()), ("/p", "b", b"\x00 of another version"), ("/p", "c", b"")])
    assert known.find("/p", "a").holder == OPUS
    assert known.find("/p", "b").holder == ""
