"""Where stepdown keeps its own files. Imports next to nothing: a status line is drawn many times a minute."""

import os
from collections.abc import Mapping

from stepdown.errors import LedgerError


def home_folder(environ: Mapping[str, str] = os.environ) -> str:
    """The directory for what stepdown keeps itself, whether or not it is there: ``STEPDOWN_HOME``, else ``~/.stepdown``.

    Raises:
        LedgerError: the user has no home directory.
    """
    named = environ.get("STEPDOWN_HOME")
    return expanded(named, environ) if named else f"{_user_home(environ)}/.stepdown"


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """A path with its ``~`` replaced: a shell does not do that behind "sqlite:", and a service manager never does.

    Raises:
        LedgerError: the user has no home directory.
    """
    if text == "~" or text.startswith("~/"):
        return f"{_user_home(environ)}/{text[2:]}"
    return text


def _user_home(environ: Mapping[str, str]) -> str:
    found = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  (pathlib takes as long to import as all of this)
    if found == "~":
        raise LedgerError("there is no home directory for the ledger: set STEPDOWN_LEDGER to a file")
    return found
