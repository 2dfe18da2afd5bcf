"""The baseline: a pass-through as one would write it in an hour with Starlette, aiohttp and orjson.

Run by the Python of its own environment, with the provider's address and a port. It reads the body, sets the model, writes the
body again and passes the answer on; it decides nothing, counts nothing, and falls over when the provider does.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson  # type: ignore[import-not-found]  # (in its own environment)
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

KEPT_BACK = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


def application(provider: str) -> Starlette:
    """Everything that comes in goes to `provider`."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            app.state.session = session
            yield

    async def forward(request: Request) -> StreamingResponse:
        body = orjson.loads(await request.body())
        body["model"] = "claude-haiku-4-5"
        headers = {name: value for name, value in request.headers.items() if name not in KEPT_BACK}
        answer = await request.app.state.session.post(
            f"{provider}{request.url.path}", data=orjson.dumps(body), headers=headers, timeout=aiohttp.ClientTimeout(None)
        )

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.content.iter_any():
                    yield piece
            finally:
                answer.close()

        kept = {name: value for name, value in answer.headers.items() if name.lower() not in KEPT_BACK}
        return StreamingResponse(pieces(), answer.status, kept)

    return Starlette(routes=[Route("/v1/messages", forward, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
