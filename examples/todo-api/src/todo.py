"""A to-do list: items in memory, served as JSON."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

ITEMS: list[dict[str, object]] = []


def add(title: str) -> dict[str, object]:
    """Put an item at the end of the list."""
    item: dict[str, object] = {"id": len(ITEMS) + 1, "title": title, "done": False}
    ITEMS.append(item)
    return item


def finish(number: int) -> None:
    """Mark the item with this id as done."""
    for item in ITEMS:
        if item["id"] == number:
            item["done"] = True


class Handler(BaseHTTPRequestHandler):
    """GET /items lists, POST /items adds."""

    def do_GET(self) -> None:
        self._answer(ITEMS)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(add(json.loads(body)["title"]))

    def _answer(self, value: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
