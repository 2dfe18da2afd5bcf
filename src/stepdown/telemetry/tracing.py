"""OpenTelemetry as its standard environment variables set it up: where spans go, how many, and under which name."""

import logging
import threading
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from stepdown.catalog import Model
from stepdown.units import Tokens

Value = str | int | float | bool | tuple[str, ...]
Attributes = dict[str, Value]

_log: Final = logging.getLogger("stepdown.telemetry")

_PATIENCE: Final = 3.0
"""Seconds that the last spans may take to be sent at the end."""

_QUIET: Final = 600.0
"""Seconds between two complaints that spans do not get through."""

_LONGEST: Final = 300
"""Letters of such a complaint."""

_PROVIDERS: Final = {"google": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai"}
"""Providers that OpenTelemetry's conventions call otherwise than we do (``gen_ai.provider.name``)."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class _Brief(logging.Handler):
    """Says the first trouble that the SDK tells of, and then nothing for a while: it tells every few seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._quiet_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.created >= self._quiet_until:
            self._quiet_until = record.created + _QUIET
            _log.warning("spans do not get through: %s", record.getMessage().partition("\n")[0][:_LONGEST])


class Tracing:
    """Sends spans from a thread of its own; nobody waits for it but `close`."""

    def __init__(self) -> None:
        # What the user says in OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES comes before what we say.
        ours = Resource({SERVICE_NAME: "stepdown", SERVICE_VERSION: version("stepdown")})
        resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
        self._exporter = OTLPSpanExporter()
        self._processor = BatchSpanProcessor(self._exporter)
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self.tracer = provider.get_tracer("stepdown", version("stepdown"))
        self._brief = _Brief()
        sdk = logging.getLogger("opentelemetry")
        sdk.addHandler(self._brief)
        sdk.propagate = False

    def close(self) -> None:
        """Send what is left, for as long as that takes, but no longer than a few seconds."""
        sending = threading.Thread(target=self._processor.shutdown, daemon=True)
        sending.start()
        sending.join(_PATIENCE)
        if sending.is_alive():
            # It waits to try again, and now stops waiting.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no annotations
            sending.join(_PATIENCE)
            _log.warning("the last spans could not be sent in time")
        sdk = logging.getLogger("opentelemetry")
        sdk.removeHandler(self._brief)
        sdk.propagate = True


def open_tracing() -> Tracing | None:
    """Tracing as the environment says; None where it says what cannot be, which is said as a warning."""
    try:
        return Tracing()
    except ValueError as problem:
        _log.warning("no spans are sent: one of the OTEL_* variables cannot be: %s", problem)
        return None


def parent(traceparent: str) -> Context:
    """The trace that a W3C ``traceparent`` names; a new one where it names none."""
    return _PROPAGATOR.extract({"traceparent": traceparent}, context=Context())


def nanoseconds(seconds: float) -> int:
    """A moment as spans have it."""
    return int(seconds * 1e9)


def of_model(model: Model) -> Attributes:
    """Who is asked."""
    return {
        "gen_ai.provider.name": _PROVIDERS.get(model.provider, model.provider),
        "gen_ai.request.model": model.id,
    }


def of_tokens(tokens: Tokens | None) -> Attributes:
    """What was used; the conventions count cached tokens among the input's. Nothing where it is unknown."""
    if tokens is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": tokens.prompt,
        "gen_ai.usage.output_tokens": tokens.output,
        "gen_ai.usage.cache_read.input_tokens": tokens.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": tokens.cache_write,
    }


def of_costs(cost_usd: float | None, ceiling_usd: float | None) -> Attributes:
    """US dollars of the work, and of the same tokens at the ceiling's prices; what is unknown is left out."""
    costs = {"stepdown.cost_usd": cost_usd, "stepdown.ceiling_cost_usd": ceiling_usd}
    return {name: cost for name, cost in costs.items() if cost is not None}
