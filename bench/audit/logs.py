"""Many megabytes of Claude Code's logs, in the proportions of real ones: the sample's conversations, with texts of real length.

About three quarters of the bytes are in the records of tool results, which hold each result twice as Claude Code writes them;
records are 1 to 50 KB.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from stepdown.audit.sample import FIRST, PROJECTS
from stepdown.audit.sample_claude import ASKS, OFTEN, Chat, Speak

_SEED: Final = 7
_CORPUS: Final = 4_000_000
_LONGEST: Final = 24_000
"""Characters of a text; a tool result stands twice in its record."""
_PER_TOKEN: Final = 3
_WORDS: Final = (
    "const total = rows.reduce((sum, row) => sum + row.price, 0);",
    'raise ValueError("no such column: \\"name\\"")',
    "    if not found:\n        return None\n",
    "\tassert.deepEqual(before, after)\n",
    "naïve café 价格 Größe\n",
    "12:34:56.789 INFO  worker-3 imported 1024 rows in 0.37 s\n",
    "usage: input_tokens output_tokens cache_read_input_tokens\n",
    '{"type":"user","message":{"usage":{"output_tokens":12}}}\n',
    "C:\\Users\\sam\\etl\\jobs\\load_orders.py:120: warning\n",
)
"""What texts are made of: quotes, backslashes and line ends that JSON escapes, and words that a hasty reader takes for more."""


def write(home: Path, size: int) -> int:
    """Write so many bytes of logs, or one session more, below a home's ``.claude/projects``; the bytes written."""
    rng = Random(_SEED)
    corpus = "".join(f"{word} {rng.randrange(10_000)} " for word in rng.choices(_WORDS, k=_CORPUS // 45))

    def speak(rng: Random, tokens: int) -> str:
        length = min(tokens * _PER_TOKEN, _LONGEST)
        start = rng.randrange(len(corpus) - length)
        return corpus[start : start + length]

    written = 0
    for chat in _sessions(rng, home, speak):
        for path, content in chat.files(home / ".claude" / "projects"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written += len(content)
        if written >= size:
            break
    return written


def grow(home: Path) -> Path:
    """Let one session go on by an answer. Which file that was."""
    newest = max((home / ".claude" / "projects").glob("*/*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    lines = newest.read_bytes().splitlines(keepends=True)
    answer = next(line for line in reversed(lines) if b'"type":"assistant"' in line)
    with newest.open("ab") as file:
        file.write(answer.replace(b'"id":"msg_', b'"id":"msg_again_').replace(b'"requestId":"req_', b'"requestId":"req_again_'))
    return newest


def _sessions(rng: Random, home: Path, speak: Speak) -> Iterator[Chat]:
    at = FIRST.timestamp()
    while True:
        chat = Chat(rng, str(home / rng.choice(PROJECTS)), at, speak=speak, thinks=True)
        for kind in rng.choices(ASKS, OFTEN, k=rng.randint(1, 5)):
            chat.ask(kind)
            chat.at += rng.uniform(60, 1_500)
        yield chat
        at += rng.uniform(600, 1_800)
