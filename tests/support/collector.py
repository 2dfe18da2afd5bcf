"""A receiver of OpenTelemetry spans on loopback: real HTTP, real protobuf."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Listens from ``with`` on.

    Attributes:
        requests: what was sent, decoded.
        raw: the same as bytes, to look for what must not be there.
        paths: where it was sent.
    """

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.raw: list[bytes] = []
        self.paths: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.append(self.path)
                collector.raw.append(body)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (the base class calls it so)
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        return [
            span for request in self.requests for per in request.resource_spans for one in per.scope_spans for span in one.spans
        ]

    def wait(self, count: int, patience: float = 10.0) -> list[Span]:
        """The spans, once there are so many; what there is when patience ends."""
        until = time.monotonic() + patience
        while len(self.spans) < count and time.monotonic() < until:
            time.sleep(0.01)
        return self.spans

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def said(span: Span) -> dict[str, Any]:
    """A span's attributes as Python has them."""
    return {one.key: _value(one.value) for one in span.attributes}


def resource(collector: Collector) -> dict[str, Any]:
    """What the last request said of its sender."""
    return {one.key: _value(one.value) for one in collector.requests[-1].resource_spans[0].resource.attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
