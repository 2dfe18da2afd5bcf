"""`make sbom`: what a running stepdown consists of, as CycloneDX 1.6 in JSON.

Everything of requirements.lock is in it with its version and the digests that pip insists on, with its licence where it is
installed here; and the scripts that the live page brings along. No time and no random number is: the same lock gives the same
bytes, so that two can be compared.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "src" / "stepdown" / "dashboard" / "static"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_DIGEST = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def sbom(lock: str) -> dict[str, Any]:
    """The bill of materials for the text of a lock."""
    parts = [*_packages(lock), *_scripts()]
    ours = {"type": "application", "bom-ref": "stepdown", "name": "stepdown", "version": metadata.version("stepdown")}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**ours, "licenses": [{"license": {"id": "MIT"}}]}},
        "components": parts,
        "dependencies": [{"ref": "stepdown", "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _packages(lock: str) -> Iterator[dict[str, Any]]:
    found = list(_PINNED.finditer(lock))
    ends = [one.start() for one in found[1:]] + [len(lock)]
    for one, end in zip(found, ends, strict=True):
        name, version = one["name"], one["version"]
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "licenses": _licence(name),
            # A release has a file for each platform: any of these is the one that pip takes.
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": purl,
                    "hashes": [{"alg": "SHA-256", "content": digest} for digest in _DIGEST.findall(lock, one.end(), end)],
                }
            ],
        }


def _licence(name: str) -> list[dict[str, Any]]:
    """As the package says itself: an SPDX expression, else a name; nothing where it is not installed on this platform."""
    try:
        said = metadata.metadata(name).json
    except metadata.PackageNotFoundError:
        return []
    if expression := said.get("license_expression"):
        return [{"expression": expression}]
    classified = [word.rpartition(" :: ")[2] for word in said.get("classifier", []) if word.startswith("License :: ")]
    named = classified or [str(said.get("license", "")).split("\n")[0].strip()]
    return [{"license": {"name": word}} for word in named if word]


def _scripts() -> Iterator[dict[str, Any]]:
    """The scripts of others that are shipped inside: their licences lie beside them."""
    for path in sorted(STATIC.glob("*.min.js")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        licence = (STATIC / f"{path.name.removesuffix('.min.js')}.LICENSE").read_text(encoding="utf-8")
        yield {
            "type": "file",
            "bom-ref": f"file:{path.name}",
            "name": path.name,
            "licenses": [{"license": {"name": next(line.strip() for line in licence.split("\n") if line.strip())}}],
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }


if __name__ == "__main__":
    text = msgspec.json.format(msgspec.json.encode(sbom((ROOT / "requirements.lock").read_text(encoding="utf-8"))), indent=2)
    Path(sys.argv[1]).write_bytes(text + b"\n")
