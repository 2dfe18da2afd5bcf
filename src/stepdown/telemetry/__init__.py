"""Prometheus metrics and OpenTelemetry spans: an extra, ``pip install 'stepdown[telemetry]'``.

Without the extra nothing of it is imported. Metrics are there as soon as it is installed; spans are sent where the standard
``OTEL_*`` variables say so, and only then. Neither ever holds a prompt, an answer or a key.
"""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from stepdown.decision import Meter

if TYPE_CHECKING:
    from stepdown.catalog import Catalog
    from stepdown.dispatch.trial import Watcher
    from stepdown.gateway.passed import Passed
    from stepdown.gateway.turned_away import TurnedAway
    from stepdown.telemetry.metrics import Metrics
    from stepdown.telemetry.requests import RequestSpans

EXTRA: Final = "pip install 'stepdown[telemetry]'"
"""What to say to somebody who lacks it."""

_log: Final = logging.getLogger("stepdown.telemetry")

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What the metrics read of a gateway when somebody looks.

    Attributes:
        catalog: the models that may be named; others are counted together, so that nobody can make up labels.
        meters: the budgets, as far as they are used.
        streams: how many streams are under way.
        requests: how many requests are under way, streams among them.
        in_trouble: whether the ledger takes nothing.
        waiting: how many units used what the ledger does not have yet.
        kept: bytes of what the ledger would not take, on this gateway's own disk.
    """

    catalog: "Callable[[], Catalog]"
    meters: Callable[[], Sequence[Meter]]
    streams: Callable[[], int]
    requests: Callable[[], int] = int
    in_trouble: Callable[[], bool] = bool
    waiting: Callable[[], int] = int
    kept: Callable[[], int] = int


class Observer:
    """Counts what passes through a gateway and sends a span for each request; told of it by `gateway.books.Books`."""

    def __init__(self, metrics: "Metrics | None", spans: "RequestSpans | None") -> None:
        self._metrics = metrics
        self._spans = spans

    def __call__(self, passed: "Passed") -> None:
        """A request has ended."""
        if self._metrics is not None:
            self._metrics.passed(passed)
        if self._spans is not None:
            self._spans.passed(passed)

    def turned_away(self, one: "TurnedAway") -> None:
        """A request was answered with an error before anything was decided."""
        if self._metrics is not None:
            self._metrics.turned_away(one)

    def page(self) -> tuple[bytes, str] | None:
        """The metrics as Prometheus reads them, with their content type; None where the extra's part for it is missing."""
        return None if self._metrics is None else self._metrics.page()

    def close(self) -> None:
        """Send the spans that are left; waits for a few seconds at most."""
        if self._spans is not None:
            self._spans.close()


def observer(view: View, environ: Mapping[str, str] = os.environ) -> Observer | None:
    """Who counts what passes through a gateway; None where the extra is not installed."""
    metrics = spans = None
    if _installed("prometheus_client"):
        from stepdown.telemetry.metrics import Metrics  # noqa: PLC0415  (without the extra it cannot be imported)

        metrics = Metrics(view)
    if spans_wanted(environ):
        from stepdown.telemetry.requests import RequestSpans  # noqa: PLC0415  (likewise)
        from stepdown.telemetry.tracing import open_tracing  # noqa: PLC0415  (likewise)

        tracing = open_tracing()
        spans = None if tracing is None else RequestSpans(tracing)
    return None if metrics is None and spans is None else Observer(metrics, spans)


@contextlib.contextmanager
def watched(watcher: "Watcher", agent: str, catalog: "Catalog", environ: Mapping[str, str] = os.environ) -> "Iterator[Watcher]":
    """A watcher of a run that also sends a span for each attempt; `watcher` itself where no spans are wanted.

    Args:
        watcher: is told what it would be told without this.
        agent: the name of the agent that does the work.
        catalog: knows who serves a model.
        environ: where the ``OTEL_*`` variables are.
    """
    if not spans_wanted(environ):
        yield watcher
        return
    from stepdown.telemetry.attempts import AttemptSpans  # noqa: PLC0415  (without the extra it cannot be imported)
    from stepdown.telemetry.tracing import open_tracing  # noqa: PLC0415  (likewise)

    tracing = open_tracing()
    if tracing is None:
        yield watcher
        return
    spans = AttemptSpans(watcher, tracing, agent, catalog, environ.get("TRACEPARENT", ""))
    try:
        yield spans
    finally:
        spans.close()


def spans_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for spans and they can be sent; why they cannot is said once, as a warning."""
    name = next((name for name in _ENDPOINTS if environ.get(name)), "")
    exporters = {word.strip() for word in environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")}
    if not name or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or "otlp" not in exporters:
        return False
    why = ""
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if not environ[name].startswith(("http://", "https://")):
        why = f"{name} is not an http:// or https:// address"
    elif protocol != "http/protobuf":
        why = f"the OTLP protocol {protocol} is not spoken here, http/protobuf is (usually port 4318)"
    elif not (_installed("opentelemetry.sdk") and _installed("opentelemetry.exporter.otlp.proto.http")):
        why = f"{name} is set, but what sends them is not installed: {EXTRA}"
    if why:
        _log.warning("no spans are sent: %s", why)
    return not why


def _installed(module: str) -> bool:
    """Whether a module can be imported; its parents are, itself it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent is missing
        return False
