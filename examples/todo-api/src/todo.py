"""A to-do list: items in memory, served as JSON."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

ITEMS: list[dict[str, object]] = []


def add(title: str) -> dict[str, object]:
    """Put an item at the end of the list; it needs a title."""
    if not isinstance(title, str) or not title.strip():
        raise ValueError("an item needs a title")
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
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        try:
            self._answer(add(body.get("title", "")))
        except ValueError as problem:
            self._answer({"error": str(problem)}, status=400)

    def _answer(self, value: object, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
