"""``stepdown practice``: the practice provider by itself, to point any Anthropic client at."""

from stepdown.practice.__main__ import main as command

__all__ = ["command"]
