"""The bill of materials: everything that is locked, as it is locked; and the scripts of others, as they were taken in."""

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
STATIC = ROOT / "src/stepdown/dashboard/static"

VENDORED = {
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "idiomorph-ext.min.js": "5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e",
    "sse.min.js": "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
}
"""What was looked at when it was taken in. Whoever changes a file says so here."""


@pytest.fixture(scope="module")
def bom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run([sys.executable, ROOT / "scripts/sbom.py", place], check=True, timeout=60)
    found: dict[str, Any] = json.loads(place.read_text())
    return found


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "scripts/sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_cyclonedx(bom: dict[str, Any]) -> None:
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    ours = bom["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("stepdown", metadata.version("stepdown"))
    references = [part["bom-ref"] for part in bom["components"]]
    assert len(set(references)) == len(references)
    assert bom["dependencies"] == [{"ref": "stepdown", "dependsOn": references}]


def test_everything_that_is_locked_is_in_it_with_version_digests_and_licence(bom: dict[str, Any]) -> None:
    parts = {part["name"]: part for part in bom["components"] if part["type"] == "library"}
    locked = dict(re.findall(r"^([^\s=]+)==([^\s;\\]+)", LOCK, re.MULTILINE))
    assert {name: part["version"] for name, part in parts.items()} == locked
    digests = [each["content"] for part in parts.values() for each in part["externalReferences"][0]["hashes"]]
    assert sorted(digests) == sorted(re.findall(r"sha256:([0-9a-f]{64})", LOCK))
    for name, part in parts.items():
        assert part["purl"] == f"pkg:pypi/{name}@{locked[name]}"
        assert part["externalReferences"][0]["hashes"]
        assert part["licenses"], name


def test_the_same_lock_gives_the_same_bytes(bom: dict[str, Any], script: ModuleType) -> None:
    assert script.sbom(LOCK) == script.sbom(LOCK) == bom


def test_a_package_of_another_platform_is_in_it_without_a_licence(script: ModuleType) -> None:
    (part, *_) = script.sbom(f"only-elsewhere==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:{'0' * 64}\n")["components"]
    assert (part["name"], part["version"], part["licenses"]) == ("only-elsewhere", "1.0", [])


def test_the_scripts_of_others_are_what_was_taken_in(bom: dict[str, Any]) -> None:
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STATIC.glob("*.min.js")}
    assert there == VENDORED
    listed = {part["name"]: part["hashes"][0]["content"] for part in bom["components"] if part["type"] == "file"}
    assert listed == VENDORED


def test_every_lock_has_digests_and_no_address() -> None:
    for path in [*ROOT.glob("requirements*.lock"), *(ROOT / "tests/journeys").glob("requirements*.lock")]:
        text = path.read_text()
        pinned = re.split(r"\n(?=\S)", text.strip())
        assert all("--hash=sha256:" in one for one in pinned), path
        assert "://" not in text, path
