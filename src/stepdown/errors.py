"""One tree of exceptions. Each class's docstring is its default message; each carries the exit code of the program.

A message says what happened, where, and what to do about it, in one line. The command line prints it after
``stepdown: `` and exits with `exit_code`; it never shows a traceback for one of these.
"""

from typing import ClassVar


class StepdownError(Exception):
    """stepdown could not do that."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class UsageError(StepdownError):
    """That call cannot be understood."""

    exit_code = 2


class PreferencesError(StepdownError):
    """The preferences are wrong; nothing ran."""

    exit_code = 2


class CatalogError(StepdownError):
    """The model catalogue is wrong."""

    exit_code = 2


class PlanError(StepdownError):
    """There is no plan to read there."""

    exit_code = 3


class LedgerError(StepdownError):
    """The ledger cannot be used."""

    exit_code = 4


class AgentError(StepdownError):
    """The agent cannot be used."""

    exit_code = 5


class BudgetError(StepdownError):
    """The budget is used up."""

    exit_code = 6


class ProviderError(StepdownError):
    """The provider did not answer."""

    exit_code = 7


class WorkTreeError(StepdownError):
    """The work tree cannot be snapshotted or put back."""

    exit_code = 8


class BusyError(StepdownError):
    """Another run is at work on this plan."""

    exit_code = 9


class GatewayError(StepdownError):
    """The gateway cannot be started, or does not answer."""

    exit_code = 10
