import pytest

from stepdown.practice import showing

OPENCODE = "<path>/p/a.py</path>\n<type>file</type>\n<content>\n{}\n\n(End of file - total {} lines)\n</content>"


@pytest.mark.parametrize(
    ("shown", "argument", "tool", "text"),
    [
        ("1\tx = 1\n2\ty = 2", "file_path", "Read", "x = 1\ny = 2"),
        ("     1→x = 1\n\n<system-reminder>aside</system-reminder>", "file_path", "Read", "x = 1"),
        ("x = 1\n", "file_path", "Read", None),
        ("x = 1\n", "file_path", "read_file", "x = 1"),
        ("x = 1\n", "path", "read_file", "x = 1"),
        (OPENCODE.format("1: x = 1\n2: \n3: y = 2", 3), "filePath", "read", "x = 1\n\ny = 2"),
        (OPENCODE.format("7: x = 1", 7), "filePath", "read", None),
        ("<content>\n1: x = 1\n\n(Showing lines 1-2000 of 4000.)\n</content>", "filePath", "read", None),
        ("x" * 3_000, "path", "read_file", None),
        ("x\n" * 3_000, "path", "read_file", None),
    ],
)
def test_a_file_is_brought_back_or_given_up(shown: str, argument: str, tool: str, text: str | None) -> None:
    assert showing.whole(shown, argument=argument, tool=tool) == text


@pytest.mark.parametrize(
    ("shown", "error"),
    [
        ("File not found: /p/a.md", True),
        ("error: no such file", True),
        ("File path must be absolute, but was relative: a.md. You must provide an absolute path.", True),
        ("# Error handling\n\nA file that is not found is an error.\n", False),
        ("Errors\nFile not found", False),
        ("", False),
    ],
)
def test_the_news_that_there_is_no_file_is_told_from_a_file(shown: str, error: bool) -> None:
    assert showing.is_error(shown) is error
