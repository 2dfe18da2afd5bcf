import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from telemetry_house import KEY, PROMPT, UNITS, open_house

from stepdown.catalog import Catalog
from stepdown.decision import Meter
from stepdown.practice.faults import Fault
from stepdown.telemetry import View
from stepdown.telemetry.metrics import Metrics

HAIKU, OPUS = "anthropic/claude-haiku-4-5", "anthropic/claude-opus-4-6"


async def test_a_request_is_counted_with_what_it_used_and_cost(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        assert await house.ask(headers=UNITS) == 200

        labels = {"protocol": "messages", "model": HAIKU, "tier": "light", "status": "2xx", "downgraded": "true"}
        assert await house.sample("stepdown_requests_total", **labels) == 1
        (served,) = house.provider.log
        assert await house.sample("stepdown_tokens_total", model=HAIKU, kind="input") == served.tokens.input > 0
        assert await house.sample("stepdown_tokens_total", model=HAIKU, kind="output") == served.tokens.output > 0
        model = Catalog.load().find_ref(HAIKU)
        assert model is not None
        cost = model.cost(served.tokens)
        assert cost is not None
        assert await house.sample("stepdown_cost_usd_total", model=HAIKU) == pytest.approx(cost)
        assert await house.sample("stepdown_ceiling_cost_usd_total", model=HAIKU) == pytest.approx(5 * cost)
        for name in ("request", "first_byte", "added"):
            assert await house.sample(f"stepdown_{name}_seconds_count", protocol="messages") == 1
        assert 0 < await house.sample("stepdown_added_seconds_sum") < await house.sample("stepdown_request_seconds_sum")


async def test_each_protocol_is_told_apart(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.ask(stream=False)
        await house.post("/v1/chat/completions", {"model": "gpt-5.4", "messages": [{"role": "user", "content": PROMPT}]})
        await house.post("/v1/responses", {"model": "gpt-5.4", "input": PROMPT})

        for protocol in ("messages", "chat", "responses"):
            assert await house.sample("stepdown_requests_total", protocol=protocol, status="2xx", failure="") == 1
        assert await house.sample("stepdown_first_byte_seconds_count") == 0, "only a stream has a first byte of its own"


async def test_a_model_that_was_given_up_and_the_one_that_answered(tmp_path: Path) -> None:
    async with open_house(tmp_path, Fault(kind="status", status=529, model="claude-haiku-4-5")) as house:
        assert await house.ask(headers=UNITS) == 200

        assert await house.sample("stepdown_fallbacks_total") == 1
        assert await house.sample("stepdown_fallbacks_total", model=HAIKU) == 1
        assert await house.sample("stepdown_requests_total", model=OPUS, status="2xx", downgraded="false") == 1


async def test_a_failure_has_its_kind(tmp_path: Path) -> None:
    async with open_house(tmp_path, Fault(kind="status", status=529, times=0)) as house:
        assert await house.ask() == 529

        assert await house.sample("stepdown_requests_total", status="5xx", failure="provider") == 1
        assert await house.sample("stepdown_unpriced_requests_total") == 0, "what failed is not a request of unknown cost"


async def test_names_that_a_client_made_up_share_one_label(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for name in ("claude-mine-1", "claude-mine-2", "claude-opus-4-6[1m]"):
            await house.ask(name)

        assert {dict(labels)["model"] for name, labels in await house.metrics() if name == "stepdown_requests_total"} == {
            "other",
            OPUS,
        }
        assert await house.sample("stepdown_unpriced_requests_total", model="other") == 2
        assert await house.sample("stepdown_cost_usd_total", model="other") == 0


async def test_nothing_of_a_prompt_a_key_a_project_or_a_unit_is_on_the_page(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.ask(headers=UNITS)
        _, text = await house.page()

    for secret in (KEY, PROMPT, "abracadabra", "secret-project", "M001", "complete-slice"):
        assert secret not in text


async def test_streams_are_counted_while_they_last(tmp_path: Path) -> None:
    async with open_house(tmp_path, Fault(kind="slow", pause=0.02, pieces=20)) as house:
        async with house.asking() as answer:
            await answer.content.readany()
            assert await house.sample("stepdown_streams_in_flight") == 1
        async with asyncio.timeout(5):
            while await house.sample("stepdown_streams_in_flight"):  # noqa: ASYNC110  (it is seen from outside alone)
                await asyncio.sleep(0.01)

        assert await house.sample("stepdown_requests_total", status="4xx", failure="cancelled") == 1


async def test_a_client_that_asks_for_metrics_by_another_name_is_turned_away(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        status, _ = await house.page(host="evil.example")
        assert status == 403


def test_budgets_are_gauges_and_a_name_comes_once() -> None:
    meters = (
        Meter(name="budget_ceiling", used=0.4, remaining=15.0),
        Meter(name="5h plan (anthropic)", used=0.5),
        Meter(name="5h plan (anthropic)", used=0.75),
    )
    catalog = Catalog.load()
    text = Metrics(View(catalog=lambda: catalog, meters=lambda: meters, streams=lambda: 0)).page()[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    assert [(one.labels["meter"], one.value) for one in samples if one.name == "stepdown_budget_used_ratio"] == [
        ("5h plan (anthropic)", 0.75),
        ("budget_ceiling", 0.4),
    ]
    assert [one.value for one in samples if one.name == "stepdown_budget_remaining_usd"] == [15.0]
