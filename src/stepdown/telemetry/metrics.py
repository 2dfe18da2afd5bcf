"""What passes through a gateway as Prometheus metrics. No label is a project, a unit or anything that a client made up."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, TypeVar, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from stepdown.catalog import Model
from stepdown.gateway.passed import Passed
from stepdown.gateway.turned_away import TurnedAway
from stepdown.telemetry import View

Wrapped = TypeVar("Wrapped", bound=MetricWrapperBase)

_SECONDS: Final = tuple(0.01 * 2**step for step in range(17))
"""Bounds for what a model takes: those that OpenTelemetry's conventions advise for ``gen_ai.client.operation.duration``, from
0.01 to 81.92 s, and three doublings more, since agents' answers take minutes."""

_ADDED: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
"""Bounds for what stepdown takes: about 0.3 ms is usual, and 1 ms is what it may."""

OTHER: Final = "other"
"""The label of every model that the catalogue does not know."""


class Metrics:
    """The counters of one gateway.

    Args:
        view: what is read when somebody looks.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._children: dict[tuple[MetricWrapperBase, tuple[str, ...]], MetricWrapperBase] = {}
        self._registry = registry = CollectorRegistry()
        registry.register(_Now(view))
        ProcessCollector(registry=registry)
        who = ("protocol", "model")
        self._requests = Counter(
            "stepdown_requests",
            "Requests that have ended, by the model that answered or was asked last, and by what they ended with",
            (*who, "tier", "downgraded", "status", "failure"),
            registry=registry,
        )
        self._fallbacks = Counter(
            "stepdown_fallbacks", "Models that were given up for the next before a byte went out", who, registry=registry
        )
        self._seconds = Histogram(
            "stepdown_request_seconds",
            "From a request's last byte to its answer's last",
            who,
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "stepdown_first_byte_seconds",
            "From a request's last byte to its answer's first; streams only",
            who,
            buckets=_SECONDS,
            registry=registry,
        )
        self._added = Histogram(
            "stepdown_added_seconds",
            "From a request's last byte until the first provider was asked: what stepdown took",
            ("protocol",),
            buckets=_ADDED,
            registry=registry,
        )
        self._tokens = Counter("stepdown_tokens", "Tokens used, by how they are billed", ("model", "kind"), registry=registry)
        self._cost = Counter("stepdown_cost_usd", "US dollars at list prices", ("model",), registry=registry)
        self._ceiling = Counter(
            "stepdown_ceiling_cost_usd",
            "US dollars that the same tokens cost on the models that were named",
            ("model",),
            registry=registry,
        )
        self._unpriced = Counter(
            "stepdown_unpriced_requests",
            "Requests that went well and whose cost is unknown: they are in no sum of dollars",
            ("model",),
            registry=registry,
        )

        self._turned_away = Counter(
            "stepdown_turned_away",
            "Requests that were answered with an error before anything was decided: no token, no such page, not understood",
            ("status",),
            registry=registry,
        )

    def passed(self, passed: Passed) -> None:
        """Count a request that has ended."""
        protocol = passed.protocol
        model = self._label(None if passed.hop is None else passed.hop.model)
        tier, downgraded = str(passed.route.decision.tier), "true" if passed.downgraded else "false"
        status = f"{passed.status // 100}xx"
        self._of(self._requests, protocol, model, tier, downgraded, status, passed.failure or "").inc()
        for one in passed.given_up:
            self._of(self._fallbacks, protocol, self._label(one.hop.model)).inc()
        if passed.added is None:  # nobody was asked
            return
        self._of(self._added, protocol).observe(passed.added)
        self._of(self._seconds, protocol, model).observe(passed.seconds)
        if passed.streamed and passed.first_byte is not None:
            self._of(self._first_byte, protocol, model).observe(passed.first_byte)
        self._bill(passed, model)

    def turned_away(self, one: TurnedAway) -> None:
        """Count a request that was answered with an error before anything was decided."""
        self._of(self._turned_away, str(one.status)).inc()

    def _bill(self, passed: Passed, model: str) -> None:
        tokens, cost, ceiling = passed.tokens, passed.cost_usd, passed.ceiling_usd
        if tokens is not None:
            kinds = {
                "input": tokens.input,
                "output": tokens.output,
                "cache_read": tokens.cache_read,
                "cache_write": tokens.cache_write,
            }
            for kind, count in kinds.items():
                if count:
                    self._of(self._tokens, model, kind).inc(count)
        if cost is not None:
            self._of(self._cost, model).inc(cost)
        elif passed.failure is None:
            self._of(self._unpriced, model).inc()
        if ceiling is not None:
            self._of(self._ceiling, model).inc(ceiling)

    def _of(self, metric: Wrapped, *labels: str) -> Wrapped:
        """`metric.labels`, remembered: it takes a lock, and longer than counting does."""
        child = self._children.get((metric, labels))
        if child is None:
            child = self._children[metric, labels] = metric.labels(*labels)
        return cast("Wrapped", child)

    def _label(self, model: Model | None) -> str:
        """The model as a label: as the catalogue writes it, without a window suffix; "" where nobody was asked."""
        if model is None:
            return ""
        known = self._view.catalog().find_ref(model.ref)
        return OTHER if known is None else f"{known.provider}/{known.bare_id}"

    def page(self) -> tuple[bytes, str]:
        """Everything as Prometheus reads it, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Now(Collector):
    """What is read when somebody looks, and not counted."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        yield InfoMetricFamily("stepdown", "The gateway", {"version": version("stepdown")})
        yield GaugeMetricFamily("stepdown_streams_in_flight", "Streams under way", self._view.streams())
        yield GaugeMetricFamily("stepdown_requests_in_flight", "Requests under way", self._view.requests())
        yield GaugeMetricFamily("stepdown_ledger_trouble", "1 while the ledger takes nothing", float(self._view.in_trouble()))
        yield GaugeMetricFamily(
            "stepdown_ledger_waiting_units", "Units that used what the ledger does not have yet", self._view.waiting()
        )
        yield GaugeMetricFamily("stepdown_journal_bytes", "What is kept on this disk for the ledger", self._view.kept())
        used = GaugeMetricFamily("stepdown_budget_used_ratio", "How much of a budget is used; 1 is all", labels=("meter",))
        left = GaugeMetricFamily("stepdown_budget_remaining_usd", "US dollars left of a budget", labels=("meter",))
        # The fullest first: a subscription that two budgets watch has one name, and a name may come only once.
        seen: set[str] = set()
        for meter in sorted(self._view.meters(), key=lambda one: -one.used):
            if meter.name not in seen:
                seen.add(meter.name)
                used.add_metric((meter.name,), meter.used)
                if meter.remaining is not None:
                    left.add_metric((meter.name,), meter.remaining)
        yield used
        yield left
