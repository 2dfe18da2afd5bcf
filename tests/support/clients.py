"""Where the real clients of the journeys are: `make clients` installs them."""

import os
import shutil
from pathlib import Path

import pytest

JOURNEYS = Path(__file__).parents[1] / "journeys"


def program(name: str) -> str:
    """A client from its registry: as STEPDOWN_NAME says, of `make clients`, or on the PATH; "" where it is not installed."""
    named = os.environ.get(f"STEPDOWN_{name.upper()}")
    if named:
        return named
    places = (JOURNEYS / "node_modules/.bin" / name, JOURNEYS / ".venv-aider/bin" / name)
    return next((str(place) for place in places if shutil.which(place)), shutil.which(name) or "")


def sdk_python() -> str:
    """A Python that has the SDKs; "" where there is none."""
    place = JOURNEYS / ".venv-sdks/bin/python"
    return str(place) if shutil.which(place) else ""


def needs(found: str, what: str) -> pytest.MarkDecorator:
    """Skips where a client is not there."""
    return pytest.mark.skipif(not found, reason=f"{what} is not installed: make clients")
