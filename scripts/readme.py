"""``python scripts/readme.py [--check]``: the terminal captures in README.md, made by running what they show."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- capture: (.+?) -->\n```console\n)(.*?)(```\n<!-- end of capture -->)", re.DOTALL)
WIDTH = 128


def capture(command: str) -> str:
    """What the command prints on a terminal of `WIDTH` columns, with nothing of this user's own in it."""
    program = str(Path(sys.executable).with_name("stepdown"))
    arguments = [program, *command.split()[1:]]
    with tempfile.TemporaryDirectory() as home:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "COLUMNS": str(WIDTH),
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(arguments, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return f"$ {command}\n{done.stdout}"


def main() -> int:
    path = ROOT / "README.md"
    before = path.read_text("utf-8")
    after = BLOCK.sub(lambda match: match[1] + capture(match[2]) + match[4], before)
    if "--check" in sys.argv:
        if before != after:
            print("README.md: a capture is not current; run: python scripts/readme.py", file=sys.stderr)
        return int(before != after)
    path.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
