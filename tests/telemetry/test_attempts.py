import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from collector import Collector, said
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from stage import Act, Actor, Heard, fails, make_plan, task, writes

from stepdown import telemetry
from stepdown.agents.port import Event, Finished, Job
from stepdown.catalog import Catalog
from stepdown.dispatch.dispatcher import Dispatcher
from stepdown.ledger.memory import MemoryLedger
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import Tier

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CATALOG = Catalog.load()
PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6")},
    dynamic_routing=DynamicRouting(
        enabled=True,
        tier_models={Tier.LIGHT: ModelChoice("claude-haiku-4-5"), Tier.STANDARD: ModelChoice("claude-sonnet-4-6")},
    ),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Heard]:
    """One unit with an agent that acts these parts, watched as `stepdown run` is; what the watcher behind it heard."""

    def done(*parts: Act, traceparent: str = "") -> Heard:
        monkeypatch.setenv("TRACEPARENT", traceparent)
        plan, heard = make_plan(tmp_path), Heard()
        dispatcher = Dispatcher(
            Router(PREFERENCES, CATALOG), Actor(*parts), MemoryLedger(), plan, commands_allowed=True, clock=lambda: 1e9
        )
        with telemetry.watched(heard, "actor", CATALOG) as watcher:
            asyncio.run(dispatcher.dispatch(task(plan), watcher))
        return heard

    return done


def test_attempts_are_spans_below_their_run(run: Callable[..., Heard], collector: Collector) -> None:
    heard = run(fails("quality"), writes(README_md="# Hello\n"), traceparent=f"00-{TRACE}-{PARENT}-01")
    first, second, whole = collector.spans

    assert (whole.name, whole.trace_id.hex(), whole.parent_span_id.hex()) == ("stepdown run", TRACE, PARENT)
    assert {first.parent_span_id, second.parent_span_id} == {whole.span_id}
    assert (first.name, first.kind) == ("invoke_agent actor", Span.SPAN_KIND_CLIENT)
    assert (first.status.code, second.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    facts = said(first)
    assert facts.pop("stepdown.reason")
    assert facts.pop("stepdown.cost_usd") == pytest.approx((100 * 1 + 10 * 5) / 1e6)
    assert facts.pop("stepdown.ceiling_cost_usd") == pytest.approx((100 * 5 + 10 * 25) / 1e6)
    assert facts == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "actor",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "stepdown.unit": "execute-task",
        "stepdown.unit_id": "M001/S01/T01",
        "stepdown.tier": "light",
        "stepdown.downgraded": True,
        "stepdown.cause": "first",
        "stepdown.steps": 0,
        "stepdown.verified": "unverified",
        "error.type": "quality",
    }
    again = said(second)
    assert (again["stepdown.cause"], again["stepdown.verified"]) == ("step up", "passed")
    assert again["gen_ai.request.model"] == "claude-sonnet-4-6"
    assert [line.split()[0] for line in heard.said] == ["starts", "ends", "starts", "ends"]


def test_an_attempt_that_is_broken_off_ends_with_its_run(run: Callable[..., Heard], collector: Collector) -> None:
    def stopped(_: Job) -> list[Event]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stopped)

    attempt, whole = collector.spans
    assert attempt.parent_span_id == whole.span_id
    assert attempt.status.code == Status.STATUS_CODE_UNSET


def test_what_an_agent_says_is_never_sent(run: Callable[..., Heard], collector: Collector) -> None:
    run(lambda _: [Finished(failure="quality", message="abracadabra")])

    sent = b"".join(collector.raw)
    assert b"invoke_agent" in sent
    assert b"abracadabra" not in sent
    assert b"Fix a typo" not in sent


def test_without_an_endpoint_the_watcher_is_the_one_that_was_there() -> None:
    heard = Heard()
    with telemetry.watched(heard, "actor", CATALOG, environ={}) as watcher:
        assert watcher is heard
