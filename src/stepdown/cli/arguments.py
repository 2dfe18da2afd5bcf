"""What commands take: paths. Imported by every command, so it imports next to nothing itself."""

import stat
from pathlib import Path

import click

from stepdown.errors import PlanError

TREE = click.Path(path_type=Path)
"""A path that is looked at later, so that what is wrong with it is said in stepdown's own words."""


def directory(path: Path) -> Path:
    """The path, if it is a directory.

    Raises:
        PlanError: it is not; one line says why.
    """
    try:
        is_directory = stat.S_ISDIR(path.absolute().stat().st_mode)  # absolute: the current directory may be gone
    except FileNotFoundError as error:
        raise PlanError(f"{path}: there is no such directory") from error
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from error
    if not is_directory:
        raise PlanError(f"{path} is not a directory; give the one of the project")
    return path


def project_at(path: Path) -> str:
    """What the ledger calls the project at `path`: its directory, or its ``.gsd``.

    Raises:
        PlanError: there is no such directory.
    """
    root = directory(path).resolve()
    return str(root.parent if root.name == ".gsd" else root)
