"""What a person's token makes of their requests: ceiling, models, mode and budgets, also against their own wish."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway_house import HAIKU, OPUS, ROUTED, SONNET, UNIT, Opening, until
from hypothesis import given
from hypothesis import strategies as st
from raw_provider import RawProvider, whole

from stepdown.catalog import Catalog
from stepdown.decision import Needs
from stepdown.gateway.terms import Terms
from stepdown.gateway.wire import Unreadable
from stepdown.ledger import Allowance, Person
from stepdown.ledger.sqlite import SqliteLedger
from stepdown.practice.provider import PracticeProvider
from stepdown.team.tokens import key_of, new_token

CATALOG = Catalog.load()
CHEAP = whole(b'{"type":"message","usage":{"input_tokens":100,"output_tokens":5000}}', "content-type: application/json")
DEAR = whole(b'{"type":"message","usage":{"input_tokens":100,"output_tokens":50000}}', "content-type: application/json")


PLAIN = ROUTED.replace("{model: claude-opus-4-6, fallbacks: [claude-sonnet-4-6]}", OPUS)


def token_for(folder: Path, name: str = "ana", **terms: Any) -> Mapping[str, str]:
    """The headers of somebody with these terms; before the gateway is started."""
    token = new_token()
    person = Person(name=name, **{"projects": ("*",), "created": time.time(), **terms})
    with SqliteLedger(folder / "ledger.db") as ledger:
        ledger.put_key(key_of(person, token))
    return {"x-stepdown-token": token}


async def test_a_request_above_the_ceiling_of_a_token_runs_on_that_ceiling(
    tmp_path: Path, opening: Opening, provider: PracticeProvider
) -> None:
    observing = ROUTED.replace("mode: delegated", "mode: observe")
    token = token_for(tmp_path, ceiling=SONNET)
    async with opening(provider.url, preferences=observing) as house:
        for named, served in ((OPUS, SONNET), (SONNET, SONNET), (HAIKU, HAIKU)):
            answer = await house.messages(named, headers=token)
            assert (answer.status, answer.json["model"]) == (200, served)
            assert answer.headers["x-stepdown-model"] == f"anthropic/{served}"
        # No pin of their own goes beyond it.
        answer = await house.messages(headers={**token, "x-stepdown-pin": "heavy"})
        assert (answer.status, answer.json["model"]) == (200, SONNET)
        assert {record.attempt.person for record in await house.records()} == {"ana"}
        assert all(record.attempt.model != f"anthropic/{OPUS}" for record in await house.records())


async def test_models_that_a_token_is_not_for_are_refused(tmp_path: Path, opening: Opening, provider: PracticeProvider) -> None:
    token = token_for(tmp_path, models=(SONNET,))
    async with opening(provider.url, preferences=PLAIN) as house:
        assert (await house.messages(SONNET, headers=token)).status == 200
        answer = await house.messages(OPUS, headers=token)
        assert (answer.status, answer.json["error"]["type"]) == (403, "permission_error")
        assert answer.json["error"]["message"] == f"{OPUS} may not be used: ana's token is for {SONNET}"
        # Routing looks among what is allowed: light work, which others have on Haiku, goes to Sonnet.
        assert (await house.messages(SONNET, headers={**token, **UNIT})).json["model"] == SONNET
        assert (await house.messages("claude-of-tomorrow", headers=token)).status == 403


async def test_a_token_has_a_mode_of_its_own(tmp_path: Path, opening: Opening, provider: PracticeProvider) -> None:
    routed, watched = token_for(tmp_path, mode="delegated"), token_for(tmp_path, "bo")
    async with opening(provider.url, preferences=ROUTED.replace("mode: delegated", "mode: observe")) as house:
        assert (await house.messages(headers={**UNIT, **routed})).json["model"] == HAIKU
        assert (await house.messages(headers={**UNIT, **watched})).json["model"] == OPUS


async def test_a_persons_own_budget_refuses_them_and_nobody_else(tmp_path: Path, opening: Opening) -> None:
    ana = token_for(tmp_path, budgets=(Allowance(limit=1.0, window="week"),))
    bo = token_for(tmp_path, "bo")
    async with RawProvider(DEAR) as provider, opening(provider.url) as house:
        assert (await house.messages(headers=ana)).status == 200  # $1.25: what runs alone may start
        answer = await house.messages(headers=ana)
        assert answer.status == 402
        assert "ana's own week budget is used up" in answer.json["error"]["message"]
        assert (await house.messages(headers=bo)).status == 200
        with SqliteLedger(house.directory / "ledger.db") as ledger:
            await house.recorder.flush()
            assert [round(ledger.spent(person=name).usd, 2) for name in ("ana", "bo")] == [1.25, 1.25]


async def test_a_persons_budget_presses_their_work_down_as_it_fills(tmp_path: Path, opening: Opening) -> None:
    ana = token_for(tmp_path, budgets=(Allowance(limit=2.0),))
    async with RawProvider(CHEAP) as provider, opening(provider.url) as house:
        said = ""
        for number in range(40):  # her budgets are read a moment after she was first seen
            answer = await house.messages(headers={**ana, "x-stepdown-unit": "plan-slice", "x-stepdown-unit-id": f"S{number}"})
            said = answer.headers["x-stepdown-reason"]
            if "ana's own month budget is" in said:
                break
            await asyncio.sleep(0.1)
        assert "month budget is" in said
        assert answer.headers["x-stepdown-model"] == f"anthropic/{HAIKU}"


async def test_a_models_budget_sends_work_below_it_and_refuses_who_insists(opening: Opening) -> None:
    preferences = PLAIN + f"budgets: [{{unit: usd, limit: 1, window: day, model: {OPUS}}}]\n"
    async with RawProvider(DEAR) as provider, opening(provider.url, preferences=preferences) as house:
        assert (await house.messages()).status == 200
        await house.recorder.flush()
        await house.recorder.refresh()
        answer = await house.messages()
        assert answer.status == 402
        assert "day budget of claude-opus-4-6 is used up" in answer.json["error"]["message"]
        assert (await house.messages(headers=UNIT)).status == 200  # on Haiku
        assert (await house.messages(SONNET)).status == 200
        await until(lambda: len(house.lines) == 4)


@given(
    ceiling=st.sampled_from([model.ref for model in CATALOG.models if model.tier is not None and model.price is not None]),
    named=st.sampled_from([model.ref for model in CATALOG.models]),
)
def test_what_is_left_of_a_request_is_never_above_the_tokens_ceiling(ceiling: str, named: str) -> None:
    terms = Terms(Person(name="ana", ceiling=ceiling), CATALOG)
    model = CATALOG.find_ref(named)
    assert model is not None
    try:
        most = terms.lowered(model, Needs())
    except Unreadable:
        return  # the ceiling cannot take even this
    assert not terms.refuses(most)
    assert most.ref in {named, terms.lowered(most, Needs()).ref}
    assert terms.refuses(model) or most is model


def test_a_token_without_terms_bars_nothing() -> None:
    assert not Terms(None, CATALOG).barred
    assert not Terms(Person(name="ana"), CATALOG).barred
    with pytest.raises(Unreadable, match="no model that is known here"):
        Terms(Person(name="ana", ceiling="gpt-99"), CATALOG).lowered(CATALOG.models[0], Needs())
