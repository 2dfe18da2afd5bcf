"""A span for each attempt of ``stepdown run``, below one for the run: what an agent was asked to do, and how that went."""

import time
from collections.abc import Callable

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from stepdown.agents.port import Step
from stepdown.catalog import Catalog, Model
from stepdown.decision import Decision
from stepdown.dispatch.trial import Watcher
from stepdown.ledger.records import Outcome, Use
from stepdown.telemetry.tracing import Attributes, Tracing, nanoseconds, of_costs, of_model, of_tokens, parent
from stepdown.units import Unit


class AttemptSpans:
    """A watcher that passes on what it is told, and makes spans of it.

    Args:
        watcher: is told everything.
        tracing: sends the spans.
        agent: who does the work.
        catalog: knows who serves a model.
        traceparent: the trace that the run belongs to, as W3C writes it; "" begins one.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        watcher: Watcher,
        tracing: Tracing,
        agent: str,
        catalog: Catalog,
        traceparent: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._watcher = watcher
        self._tracing = tracing
        self._agent = agent
        self._catalog = catalog
        self._clock = clock
        self._run = tracing.tracer.start_span("stepdown run", parent(traceparent), start_time=nanoseconds(clock()))
        self._inside = set_span_in_context(self._run)
        self._open: dict[tuple[str, str], Span] = {}

    def starts(self, unit: Unit, decision: Decision, model: str, cause: str) -> None:
        """An attempt begins."""
        known = self._catalog.find_ref(model) or Model(id=model.rpartition("/")[2], provider=model.partition("/")[0])
        said: Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self._agent,
            "stepdown.unit": unit.type,
            "stepdown.unit_id": unit.id,
            "stepdown.tier": str(decision.tier),
            "stepdown.reason": decision.reason,
            "stepdown.downgraded": decision.downgraded and decision.ref == model,
            "stepdown.cause": cause,
            **of_model(known),
        }
        self._open[unit.type, unit.id] = self._tracing.tracer.start_span(
            f"invoke_agent {self._agent}",
            self._inside,
            kind=SpanKind.CLIENT,
            attributes=said,
            start_time=nanoseconds(self._clock()),
        )
        self._watcher.starts(unit, decision, model, cause)

    def step(self, unit: Unit, step: Step) -> None:
        """The agent did something; what is not said in a span, it may be a prompt's words."""
        self._watcher.step(unit, step)

    def used(self, unit: Unit, use: Use) -> None:
        """More was used; a span says it once, at its end."""
        self._watcher.used(unit, use)

    def ends(self, unit: Unit, decision: Decision, outcome: Outcome, steps: int) -> None:
        """An attempt is over."""
        span = self._open.pop((unit.type, unit.id), None)
        if span is not None:
            said: Attributes = {
                "stepdown.steps": steps,
                "stepdown.verified": {True: "passed", False: "failed", None: "unverified"}[outcome.verified],
                **of_tokens(outcome.tokens),
                **of_costs(outcome.cost_usd, outcome.ceiling_cost_usd),
            }
            if outcome.failure is not None and outcome.failure != "cancelled":
                said["error.type"] = outcome.failure
                span.set_status(Status(StatusCode.ERROR))
            span.set_attributes(said)
            span.end(nanoseconds(outcome.finished))
        self._watcher.ends(unit, decision, outcome, steps)

    def alert(self, text: str) -> None:
        """A budget passed one of its marks."""
        self._watcher.alert(text)

    def close(self) -> None:
        """The run is over; an attempt that was broken off ends with it."""
        for span in (*self._open.values(), self._run):
            span.end(nanoseconds(self._clock()))
        self._open.clear()
        self._tracing.close()
