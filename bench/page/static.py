"""``python -m bench.page.static FILE``: serves what is in a file (`Files` as JSON) and nothing else, to compare with."""

import socket
import sys
import threading
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response


class File(msgspec.Struct, frozen=True):
    """What is served at one address.

    Attributes:
        kind: its ``content-type``.
        keep: its ``cache-control``.
        body: its bytes.
    """

    kind: str
    keep: str
    body: bytes


Files = dict[str, File]
"""By path; of addresses that end in a query, that is left out."""


def application(files: Files) -> Starlette:
    """Serves them."""

    async def answer(request: Request) -> Response:
        found = files.get(request.url.path)
        if found is None:
            return Response("nothing is here", 404)
        return Response(found.body, headers={"content-type": found.kind, "cache-control": found.keep})

    made = Starlette()
    made.add_route("/{path:path}", answer)
    return made


def main() -> None:
    files = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Files)
    taken = socket.create_server(("127.0.0.1", 0))
    print(taken.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(application(files), log_config=None, access_log=False, lifespan="off", ws="none"))

    def end() -> None:
        sys.stdin.read()  # it is whoever started this: it ends with them
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run(sockets=[taken])


if __name__ == "__main__":
    main()
