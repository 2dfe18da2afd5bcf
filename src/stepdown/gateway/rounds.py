"""What the recorder's thread is given to do at once."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from stepdown.gateway.entry import Entry
from stepdown.gateway.published import Project
from stepdown.gateway.writer import Name
from stepdown.ledger.port import Ledger
from stepdown.ledger.records import Conversation

Word = Callable[[Ledger], object]
"""Something to be said to the ledger."""


class Job(NamedTuple):
    """A question, and who waits for its answer."""

    future: "Future[Any]"
    work: Callable[[], Any]

    def answer(self) -> None:
        """Do the work, unless nobody waits any more."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            answer = self.work()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, who gets it
            self.future.set_exception(error)
        else:
            self.future.set_result(answer)


class Round(NamedTuple):
    """Everything that came since the last one.

    Attributes:
        changed: entries that changed.
        talks: conversations that changed, as they are now.
        spent: what each project had spent then.
        told: words for the ledger.
        jobs: questions.
        woken: whether what is called alongside (`Recorder.alongside`) has something to say although nothing else changed.
        at_once: whether to try a ledger in trouble again before its time.
        last: whether nothing comes after it.
    """

    changed: dict[Entry, None]
    talks: dict[Name, Conversation]
    spent: list[tuple[Project, float]]
    told: list[Word]
    jobs: list[Job]
    woken: bool
    at_once: bool
    last: bool
