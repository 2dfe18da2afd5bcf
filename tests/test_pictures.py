"""The pictures that the documentation shows: they are there, they can be opened, and nobody waits long for them."""

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
_SHOWN = re.compile(
    r"!\[(?P<says>[^\]]*)\]\((?P<link>[^)\s]+)\)|<img [^>]*src=\"(?P<src>[^\"]+)\"|<source [^>]*srcset=\"(?P<set>[^\"]+)\""
)


def shown() -> list[tuple[Path, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [(page, one) for page in pages for one in _SHOWN.finditer(page.read_text(encoding="utf-8"))]
    links = [(page, one["link"] or one["src"] or one["set"]) for page, one in found]
    return [(page, link) for page, link in links if "://" not in link]


def test_every_picture_that_is_shown_is_there() -> None:
    assert shown()
    assert [(page.name, link) for page, link in shown() if not (page.parent / link).is_file()] == []


@pytest.mark.parametrize("path", sorted(IMAGES.iterdir()), ids=lambda path: path.name)
def test_a_picture_is_sharp_and_small(path: Path) -> None:
    most = 1_500_000 if path.suffix == ".gif" else 600_000
    assert 20_000 < path.stat().st_size < most
    with Image.open(path) as image:
        assert image.width >= 780
        assert (getattr(image, "n_frames", 1) > 10) is (path.suffix == ".gif")


def test_all_of_them_are_not_much_to_clone() -> None:
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 4_000_000
