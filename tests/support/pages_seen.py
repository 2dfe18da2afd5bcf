"""Pages as a browser shows them, and as a parser reads them: what the tests of every page ask of one."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

TABLES = """() => Object.fromEntries([...document.querySelectorAll("table[id]")].map(table => [table.id,
  [...table.tBodies[0].rows].map(row => [...row.querySelectorAll("[data-value]")]
    .map(cell => JSON.parse(cell.dataset.value)))]))"""


NUMBERS = "selector => [...document.querySelectorAll(selector + ' [data-value]')].map(each => JSON.parse(each.dataset.value))"

CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const bright = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => (Math.max(bright(one), bright(other)) + 0.05) / (Math.min(bright(one), bright(other)) + 0.05);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
  };
  const texts = [...document.querySelectorAll("body *")].filter(each => !each.closest("svg")
    && [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  const tone = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name);
  const tones = ["light", "standard", "heavy", "unknown", "saved", "lost"];
  return {
    text: Math.min(...texts.map(each => ratio(getComputedStyle(each).color, behind(each)))),
    shapes: Math.min(...tones.map(name => ratio(tone(name), tone("paper")))),
    steps: [ratio(tone("light"), tone("standard")), ratio(tone("standard"), tone("heavy"))],
    paper: bright(tone("paper")),
  };
}"""

ODD = st.text() | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=y>',
        "'",
        "&amp;",
        "{{ 7 * 7 }}",
        "]]>",
        "\udc80",
        "\x1b[31m",
        "\u202e",
        "-->",
    ]
)
"""Names that somebody may have given something: any text, and some that mean harm."""


def shown(browser: Browser, path: Path, page: str, scheme: Any = "light", width: int = 1440) -> tuple[Page, list[str]]:
    """A page, written to `path` and opened, and what the browser complains of; asking for anything but it is one complaint."""
    path.write_text(page, "utf-8")
    opened = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
    opened.goto(path.as_uri())
    return opened, complaints


def assert_readable_without_seeing(page: Page) -> None:
    """Headings in steps, a name for everything, tables with heads: what a screen reader needs."""
    levels = page.evaluate("() => [...document.querySelectorAll('h1,h2,h3,h4')].map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    seen = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    named = {"image", "table", "region", "DisclosureTriangle", "heading", "rowheader", "columnheader"}
    assert {role for role, _ in seen} >= {
        "image",
        "table",
        "region",
        "banner",
        "main",
        "contentinfo",
        "rowheader",
        "columnheader",
    }
    assert [role for role, name in seen if role in named and not name.strip()] == []
    assert len([role for role, _ in seen if role == "image"]) == page.locator("svg").count()
    assert page.locator("th:not([scope])").count() == 0
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))


class Parts(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def words(page: str) -> str:
    """What is read on it."""
    return re.sub(r"\s+", " ", " ".join(Parts(page).text))
