"""The `stepdown` program, and ``python -m stepdown``: the status line by itself, which is drawn too often to wait for click."""

import sys


def main() -> None:
    """Go to the status line, or to the command line."""
    if sys.argv[1:] == ["statusline"]:
        from stepdown.statusline import main as run  # noqa: PLC0415  (one of the two)
    else:
        from stepdown.cli import main as run  # noqa: PLC0415  (likewise)
    run()


if __name__ == "__main__":
    main()
