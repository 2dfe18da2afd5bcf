"""A span for each request that passed through a gateway, in the words of OpenTelemetry's conventions for generative AI.

It is made when the request has ended, with the times it had. One request is one ``gen_ai`` span, however many were asked, so
that tokens are not counted twice; those that were given up are plain spans below it.

Source of the names: OpenTelemetry semantic conventions, GenAI client spans, as in opentelemetry-semantic-conventions 0.66.
"""

import functools
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from stepdown.gateway.passed import Passed
from stepdown.telemetry.tracing import Attributes, Tracing, nanoseconds, of_costs, of_model, of_tokens, parent


class RequestSpans:
    """Makes the spans.

    Args:
        tracing: sends them.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def passed(self, passed: Passed) -> None:
        """A request has ended."""
        span = self._tracing.tracer.start_span(
            f"chat {_named(passed)}",
            parent(passed.traceparent),
            kind=SpanKind.CLIENT,
            attributes=attributes(passed),
            start_time=nanoseconds(passed.at),
        )
        if passed.given_up and span.is_recording():
            inside = set_span_in_context(span)
            for one in passed.given_up:
                tried = self._tracing.tracer.start_span(
                    f"given up {one.hop.model.ref}",
                    inside,
                    kind=SpanKind.CLIENT,
                    attributes={"stepdown.model": one.hop.model.ref, "error.type": one.why, **_server(one.hop.url)},
                    start_time=nanoseconds(passed.at + one.began),
                )
                tried.set_status(Status(StatusCode.ERROR))
                tried.end(nanoseconds(passed.at + one.ended))
        if _is_error(passed):
            span.set_status(Status(StatusCode.ERROR))
        span.end(nanoseconds(passed.at + passed.seconds))

    def close(self) -> None:
        """Send what is left."""
        self._tracing.close()


def attributes(passed: Passed) -> Attributes:
    """What a request's span says. No prompt, no key, no project."""
    route, hop = passed.route, passed.hop
    unit, decision = route.asked.unit, route.decision
    said: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.stream": passed.streamed,
        "http.response.status_code": passed.status,
        "stepdown.protocol": passed.protocol,
        "stepdown.unit": unit.type,
        "stepdown.unit_id": unit.id,
        "stepdown.tier": str(decision.tier),
        "stepdown.reason": route.refused or decision.reason,
        "stepdown.decision": route.id,
        "stepdown.applied": route.applied,
        "stepdown.downgraded": passed.downgraded,
        **of_model(route.ceiling if hop is None else hop.model),
        **of_tokens(passed.tokens),
        **of_costs(passed.cost_usd, passed.ceiling_usd),
    }
    said["gen_ai.request.model"] = _named(passed)
    if hop is not None:
        said |= _server(hop.url)
        if passed.failure is None:
            said["gen_ai.response.model"] = passed.said or hop.model.id
    if passed.estimated:
        said["stepdown.tokens_estimated"] = True
    if passed.stop:
        said["gen_ai.response.finish_reasons"] = (passed.stop,)
    if passed.streamed and passed.first_byte is not None:
        said["gen_ai.response.time_to_first_chunk"] = passed.first_byte
    if _is_error(passed):
        said["error.type"] = passed.failure or str(passed.status)
    return said


def _named(passed: Passed) -> str:
    """The model that the client named, or was left to choose below."""
    return passed.route.asked.model or passed.route.ceiling.id


def _is_error(passed: Passed) -> bool:
    """Whether something went wrong; a client that went away (499) did what it wanted."""
    return passed.failure is not None and passed.failure != "cancelled"


@functools.lru_cache(maxsize=64)
def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _server(url: str) -> Attributes:
    """Who answered, without path and query."""
    host, port = _address(url)
    return {"server.address": host, "server.port": port}
