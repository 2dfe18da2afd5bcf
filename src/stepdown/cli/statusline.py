"""``stepdown statusline``, where it is asked for help; `stepdown.__main__` goes to `stepdown.statusline` by itself."""

import click

from stepdown.statusline import main


@click.command("statusline", short_help="One line for Claude Code's status line.")
def command() -> None:
    """Print one line for an agent's status line: the model that answered last, what routing saved, how full the windows are.

    It reads what Claude Code says on standard input, and the small file that the project's gateway leaves for it; what is
    unknown is left out. `stepdown connect claude` installs it. NO_COLOR is honoured.
    """
    main()
