"""`load_preferences`: which files there are, in which order they count, and the preferences they make together.

The strongest first: the project's ``.gsd/PREFERENCES.md`` (or ``preferences.md``), its ``stepdown.yaml``, then
``~/.gsd/PREFERENCES.md`` (or ``preferences.md``) and ``~/.stepdown/stepdown.yaml``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stepdown.errors import PreferencesError
from stepdown.preferences.document import Document, Node, read_document
from stepdown.preferences.merge import merged, spell_out
from stepdown.preferences.names import ModelNames, check_models
from stepdown.preferences.reading import Reading
from stepdown.preferences.schema import Preferences
from stepdown.preferences.validate import validate

_GSD_NAMES: Final = (".gsd/PREFERENCES.md", ".gsd/preferences.md")
_PROJECT_YAML: Final = "stepdown.yaml"
_HOME_YAML: Final = ".stepdown/stepdown.yaml"


def load_preferences(
    project: Path,
    *,
    home: Path | None = None,
    assume: Path | None = None,
    catalog: ModelNames | None = None,
) -> Preferences:
    """What the user wants for the project in the directory `project`.

    Args:
        project: the directory that holds ``.gsd`` or ``stepdown.yaml``; with neither, the user's own files count alone.
        home: the user's directory; None asks the system.
        assume: a preferences file of either format that takes the place of the project's own files.
        catalog: if given, models it does not know are warned about (`check_models`).

    Raises:
        PreferencesError: a file cannot be read or says something wrong; one line per problem, each with file and line.
    """
    documents = read_documents(project, home=home, assume=assume)
    if not documents:
        return Preferences()
    return preferences_of(merged([spell_out(document.root) for document in documents]), documents, catalog)


def places(project: Path, *, home: Path | None = None) -> tuple[Path, ...]:
    """Every file that preferences of a project can come from, whether it is there or not."""
    return tuple(path for choice in _sources(project, home, None) for path, _ in choice)


def read_documents(project: Path, *, home: Path | None = None, assume: Path | None = None) -> tuple[Document, ...]:
    """The files that count for a project, the strongest first; see `load_preferences`.

    Raises:
        PreferencesError: one of them cannot be read; one line per problem.
    """
    documents: list[Document] = []
    errors: list[str] = []
    for choice in _sources(project, home, assume):
        try:
            document = next(filter(None, (read_document(path, name) for path, name in choice)), None)
            if document is not None:
                spell_out(document.root)  # what contradicts itself is said together with everything else
                documents.append(document)
            elif choice[0][0] is assume:
                errors.append(f"{assume}: there is no such preferences file")
        except PreferencesError as error:
            errors.append(str(error))
    if errors:
        raise PreferencesError("\n".join(errors))
    return tuple(documents)


def preferences_of(root: Node, documents: Sequence[Document], catalog: ModelNames | None) -> Preferences:
    """The preferences that a merged tree makes.

    Args:
        root: the tree.
        documents: the files it was made of, for their names and warnings.
        catalog: see `load_preferences`.

    Raises:
        PreferencesError: it says something wrong; one line per problem.
    """
    reading = Reading()
    preferences = validate(root, reading)
    if reading.problems:
        raise PreferencesError("\n".join(map(str, sorted(set(reading.problems)))))
    preferences = msgspec.structs.replace(
        preferences,
        origins=reading.origins,
        warnings=(
            *(warning for document in documents for warning in document.warnings),
            *(str(remark) for remark in sorted(set(reading.warnings))),
        ),
        files=tuple(document.name for document in documents),
    )
    return preferences if catalog is None else check_models(preferences, catalog)


def _sources(project: Path, home: Path | None, assume: Path | None) -> Iterator[list[tuple[Path, str]]]:
    """Files and their names in messages, the strongest first; of each list the first that exists counts."""
    if assume is not None:
        yield [(assume, str(assume))]
    else:
        yield [(project / name, name) for name in _GSD_NAMES]
        yield [(project / _PROJECT_YAML, _PROJECT_YAML)]
    if home is None:
        try:
            home = Path.home()
        except RuntimeError:  # a user without a home directory has no file there
            return
    yield [(home / name, f"~/{name}") for name in _GSD_NAMES]
    yield [(home / _HOME_YAML, f"~/{_HOME_YAML}")]
