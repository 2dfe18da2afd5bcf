import asyncio
import time
from pathlib import Path

import pytest
from collector import Collector, resource, said
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from telemetry_house import KEY, PROMPT, UNITS, open_house

from stepdown.catalog import Catalog
from stepdown.practice.faults import Fault

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_a_request_is_one_span_in_the_words_of_the_conventions(tmp_path: Path, collector: Collector) -> None:
    before = time.time_ns()
    async with open_house(tmp_path) as house:
        async with house.asking(headers=UNITS) as answer:
            await answer.read()
            decision = answer.headers["x-stepdown-decision"]
        (served,) = house.provider.log
        port = int(house.provider.url.rpartition(":")[2])
    (span,) = collector.spans

    assert collector.paths == ["/v1/traces"]
    assert (span.name, span.kind) == ("chat claude-opus-4-6", Span.SPAN_KIND_CLIENT)
    assert before <= span.start_time_unix_nano < span.end_time_unix_nano <= time.time_ns()
    assert span.status.code == Status.STATUS_CODE_UNSET
    facts = said(span)
    model = Catalog.load().find_ref("anthropic/claude-haiku-4-5")
    assert model is not None
    assert facts.pop("stepdown.cost_usd") == pytest.approx(cost := model.cost(served.tokens))
    assert facts.pop("stepdown.ceiling_cost_usd") == pytest.approx(5 * (cost or 0))
    assert 0 < facts.pop("gen_ai.response.time_to_first_chunk") < 10
    assert facts.pop("stepdown.reason")
    assert facts == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-4-6",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "claude-haiku-4-5",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": served.tokens.prompt,
        "gen_ai.usage.output_tokens": served.tokens.output,
        "gen_ai.usage.cache_read.input_tokens": served.tokens.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": served.tokens.cache_write,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": port,
        "stepdown.protocol": "messages",
        "stepdown.unit": "complete-slice",
        "stepdown.unit_id": "M001/S01",
        "stepdown.tier": "light",
        "stepdown.decision": decision,
        "stepdown.applied": True,
        "stepdown.downgraded": True,
    }


async def test_a_prompt_a_key_and_a_project_are_never_sent(tmp_path: Path, collector: Collector) -> None:
    async with open_house(tmp_path, Fault(kind="status", status=529, model="claude-haiku-4-5")) as house:
        await house.ask(headers=UNITS)

    sent = b"".join(collector.raw)
    assert b"claude-opus-4-6" in sent
    for secret in (KEY, PROMPT, "abracadabra", "secret-project"):
        assert secret.encode() not in sent


async def test_cached_tokens_are_among_the_inputs(tmp_path: Path, collector: Collector) -> None:
    text = {"type": "text", "text": "You are an agent. " * 2000, "cache_control": {"type": "ephemeral"}}
    body = {
        "model": "claude-opus-4-6",
        "max_tokens": 64,
        "system": [text],
        "messages": [{"role": "user", "content": PROMPT}],
    }
    async with open_house(tmp_path) as house:
        for _ in range(2):
            assert await house.post("/v1/messages", body) == 200
        tokens = house.provider.log[1].tokens
    facts = said(collector.spans[1])

    assert tokens.cache_read > 0
    assert facts["gen_ai.usage.cache_read.input_tokens"] == tokens.cache_read
    assert facts["gen_ai.usage.input_tokens"] == tokens.input + tokens.cache_read + tokens.cache_write


@pytest.mark.parametrize(
    ("traceparent", "belongs"),
    [(f"00-{TRACE}-{PARENT}-01", True), ("00-nonsense", False), (f"00-{'0' * 32}-{PARENT}-01", False), ("", False)],
)
async def test_the_span_belongs_to_the_clients_trace(
    tmp_path: Path, collector: Collector, traceparent: str, *, belongs: bool
) -> None:
    async with open_house(tmp_path) as house:
        await house.ask(headers={"traceparent": traceparent})
    (span,) = collector.spans

    assert (span.trace_id.hex() == TRACE) == belongs
    assert span.parent_span_id.hex() == (PARENT if belongs else "")


async def test_a_trace_that_its_client_does_not_sample_is_not_sent(tmp_path: Path, collector: Collector) -> None:
    async with open_house(tmp_path) as house:
        await house.ask(headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})

    assert collector.spans == []


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(kind="status", status=529, model="claude-haiku-4-5"), "529"),
        (Fault(kind="sse_error", status=529, model="claude-haiku-4-5"), "stream"),
        (Fault(kind="cut", model="claude-haiku-4-5"), "broken"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else value,
)
async def test_who_was_given_up_is_a_span_below(tmp_path: Path, collector: Collector, fault: Fault, why: str) -> None:
    async with open_house(tmp_path, fault) as house:
        assert await house.ask(headers=UNITS) == 200
    tried, request = collector.spans

    assert tried.parent_span_id == request.span_id
    assert tried.name == "given up anthropic/claude-haiku-4-5"
    assert tried.status.code == Status.STATUS_CODE_ERROR
    assert said(tried)["error.type"] == why
    assert not any(name.startswith("gen_ai.") for name in said(tried)), "or its tokens would be counted twice"
    assert request.start_time_unix_nano <= tried.start_time_unix_nano < tried.end_time_unix_nano
    assert tried.end_time_unix_nano < request.end_time_unix_nano
    assert request.status.code == Status.STATUS_CODE_UNSET
    facts = said(request)
    assert (facts["gen_ai.response.model"], facts["stepdown.downgraded"]) == ("claude-opus-4-6", False)


async def test_a_failure_is_an_error_with_its_kind(tmp_path: Path, collector: Collector) -> None:
    async with open_house(tmp_path, Fault(kind="status", status=529, times=0)) as house:
        assert await house.ask() == 529
    (span,) = collector.spans

    assert span.status.code == Status.STATUS_CODE_ERROR
    facts = said(span)
    assert (facts["error.type"], facts["http.response.status_code"]) == ("provider", 529)
    assert "gen_ai.response.model" not in facts
    assert "stepdown.cost_usd" not in facts, "unknown is not zero"


async def test_a_client_that_goes_away_is_no_error(tmp_path: Path, collector: Collector) -> None:
    async with open_house(tmp_path, Fault(kind="slow", pause=0.02, pieces=50)) as house:
        async with house.asking() as answer:
            await answer.content.readany()
        (span,) = await asyncio.to_thread(collector.wait, 1)

    assert span.status.code == Status.STATUS_CODE_UNSET
    assert said(span)["http.response.status_code"] == 499
    assert "error.type" not in said(span)
    assert said(span)["stepdown.tokens_estimated"] is True, "the part that says so never came"


async def test_google_is_called_as_the_conventions_call_it(tmp_path: Path, collector: Collector) -> None:
    async with open_house(tmp_path, preferences='  google: {base_url: "http://127.0.0.1:9/v1", protocols: [chat]}\n') as house:
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": PROMPT}]}
        assert await house.post("/v1/chat/completions", body) == 502
    (span,) = collector.spans

    assert said(span)["gen_ai.provider.name"] == "gcp.gemini"


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "stepdown"),
        ({"OTEL_SERVICE_NAME": "my-gateway"}, "my-gateway"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs,team=a"}, "theirs"),
    ],
)
async def test_the_service_is_called_as_its_user_says(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str
) -> None:
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    async with open_house(tmp_path) as house:
        await house.ask()

    assert resource(collector)["service.name"] == name


async def test_a_collector_that_is_down_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with open_house(tmp_path) as house:
        assert await house.ask() == 200
        closing = time.monotonic()

    assert time.monotonic() - closing < 6
    assert KEY not in caplog.text
