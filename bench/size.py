"""``python -m bench.size``: what an installation takes on disk, with all its dependencies, from the lock a user gets."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", scratch]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(ROOT)], check=True)
        sizes = {
            entry.name: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
            for entry in Path(scratch).iterdir()
            if entry.is_dir()
        }
    total = sum(sizes.values())
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:8]:
        print(f"{name:28} {size / 1e6:7.1f} MB")
    print(f"{'in all, compiled files included':28} {total / 1e6:7.1f} MB")


if __name__ == "__main__":
    main()
