"""aider's two edit formats. The texts here are written for the purpose; the real aider drives the journeys."""

import pytest

from stepdown.practice import content, script

WHOLE = (
    "Act as an expert. You MUST use this *file listing* format:\n"
    "- Second line: opening {0}\n- ... content ...\n- Final line: closing {1}\n"
).replace("- ", "")
DIFF = (
    "Describe each change with a *SEARCH/REPLACE block*.\n"
    "2. The opening fence and code language, eg: {0}python\n8. The closing fence: {1}\n"
)
TASK = "## UNIT: Execute Task T01\n\nT01 — two files\n\n## Files to write\n\n- `new.md`\n- `src/old.py`\n"


def said(system: str, *shown: str, task: str = TASK) -> str:
    messages = [{"role": "user", "content": text} for text in (*shown, task)]
    reply = script.answer({"model": "gpt-5.4-mini", "system": system, "messages": messages})
    assert reply.stop == "end_turn"
    return str(reply.content[0]["text"])


def file(path: str, text: str, fence: tuple[str, str] = ("```", "```")) -> str:
    return f"I have *added these files to the chat*.\n\n{path}\n{fence[0]}\n{text}{fence[1]}\n"


def test_whole_files_are_listed_with_what_was_in_them() -> None:
    words = said(WHOLE.format("```", "```"), file("src/old.py", "x = 1\n"))
    assert f"new.md\n```\n{content.fresh('new.md', 'Execute Task T01')}```" in words
    assert "src/old.py\n```\nx = 1\n\n# Execute Task T01 (T01) passed here." in words
    assert words.count("```") == 4


def test_blocks_add_to_what_is_there() -> None:
    words = said(DIFF.format("```", "```"), file("src/old.py", "x = 1\n"))
    assert words.count("<<<<<<< SEARCH\n=======\n") == words.count(">>>>>>> REPLACE\n```") == 2
    assert "x = 1" not in words


@pytest.mark.parametrize("system", [WHOLE, DIFF])
def test_the_fence_is_the_one_that_is_asked_for(system: str) -> None:
    fence = ("<source>", "</source>")
    words = said(system.format(*fence), file("src/old.py", "x = 1\n", fence))
    assert words.count("<source>") == words.count("</source>") == 2
    assert "```" not in words


def test_a_second_round_changes_nothing() -> None:
    line = content.addition("src/old.py", "Execute Task T01 (T01)")
    shown = [file("src/old.py", f"x = 1\n\n{line}\n"), file("new.md", "# new\n<!-- " + str(content.addition("new.md", "")))]
    task = TASK.replace("- `new.md`\n", "")
    assert said(WHOLE.format("```", "```"), *shown, task=task) == "All of it is there."


def test_a_commit_message_is_one_short_line() -> None:
    words = said("You generate concise, one-line Git commit messages.", task="Diffs:\n+x")
    assert words == "chore: carry out a unit"


def test_others_who_offer_no_tools_get_words() -> None:
    assert "no model was asked" in said("You are a helpful assistant.")
