"""What is installed is all of it: the wheel, built and unpacked."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "stepdown"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("built")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(built), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(built / "there")
    return built / "there"


def files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts and not path.name.startswith(".")}


def test_every_file_of_the_package_is_in_it_and_nothing_else(unpacked: Path) -> None:
    assert files(unpacked / "stepdown") == files(PACKAGE)
    (facts,) = (path for path in unpacked.iterdir() if path.name != "stepdown")
    assert facts.name.endswith(".dist-info")
    assert (facts / "licenses" / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")


def test_what_others_wrote_comes_with_its_licence(unpacked: Path) -> None:
    static = unpacked / "stepdown" / "dashboard" / "static"
    scripts = sorted(path.name.removesuffix(".min.js") for path in static.glob("*.min.js"))
    assert scripts == ["htmx", "idiomorph-ext", "sse"]
    for name in scripts:
        assert "Permission to use" in (static / f"{name}.LICENSE").read_text("utf-8"), name


def test_its_pages_can_be_made(unpacked: Path) -> None:
    code = """
import stepdown
from stepdown.dashboard.render import Parts
from stepdown.dashboard.host import Facts
parts = Parts("1")
facts = Facts(kind="gateway", project="/p", mode="full", modes={"full": "all"}, started=0.0, where="here")
print(stepdown.__file__, len(parts.style()) > 1000, 'id="units"' in parts.page(facts, "/p", {}))
"""
    environ = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(unpacked / "stepdown" / "__init__.py"), "True", "True"]
