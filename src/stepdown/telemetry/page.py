"""``GET /metrics`` of the gateway."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stepdown.telemetry import EXTRA, Observer


def metrics_route(observer: Observer | None) -> Route:
    """Where Prometheus looks. Without the extra it says how to get it."""

    def page(_: Request) -> Response:  # no coroutine, so that it is made in a thread, and no request waits for it
        made = None if observer is None else observer.page()
        if made is None:
            return PlainTextResponse(f"there are no metrics here yet: {EXTRA}\n", 404)
        body, kind = made
        return Response(body, media_type=kind)

    return Route("/metrics", page)
