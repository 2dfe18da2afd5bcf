"""A conversation whose requests come to several gateways: what the others know of it is known here when its next one comes.

What they write down is read in passing, about once a second. A request that is ahead of what is known here, since another
gateway has had the one before, waits for the ledger's word: not for long, and only where a ledger is shared.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from stepdown.errors import StepdownError
from stepdown.gateway.conversations import Conversation, Conversations
from stepdown.gateway.declared import asked
from stepdown.gateway.recognised import recognised
from stepdown.gateway.recorder import Recorder
from stepdown.gateway.wire import Envelope, Unreadable
from stepdown.ledger.records import Conversation as Kept

PATIENCE: Final = 0.6
"""Seconds that a request waits: another gateway writes a quarter of a second after its answer, and takes a moment to."""
_PAUSE: Final = 0.05
"""Seconds between two questions."""


class Elsewhere:
    """What other gateways know of conversations.

    Args:
        recorder: has the ledger.
        conversations: those of this gateway.
        project: whose a request is that names no project.
        shared: whether other gateways may be at the same ledger; where not, nobody waits for its word.
    """

    def __init__(self, recorder: Recorder, conversations: Conversations, project: str, *, shared: bool) -> None:
        self._recorder = recorder
        self._conversations = conversations
        self._project = project
        self._shared = shared
        loop = asyncio.get_running_loop()
        recorder.listen(lambda kept: loop.call_soon_threadsafe(self._learn, kept))

    async def catch_up(self, envelope: Envelope, headers: Mapping[str, str]) -> None:
        """A request has come: see to it that nobody knows more of its conversation than this gateway.

        Args:
            envelope: the request.
            headers: its own, names in lower case.
        """
        self._recorder.attend()
        if not self._shared or (not envelope.talk.steps and envelope.talk.turns < 2):  # which begins one
            return
        try:
            request = asked(envelope, headers)
        except Unreadable:
            return  # which is said when it is decided
        if request.declared or request.attempt:
            return
        name = recognised(envelope, headers).conversation
        project = request.project or self._project
        known = self._conversations.known(project, name)
        if not name or self._recorder.trouble or (known is not None and _is_enough(known, envelope)):
            return
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            try:
                kept = await asyncio.wait_for(self._recorder.ask(lambda ledger: ledger.conversation(project, name)), left)
            except (StepdownError, TimeoutError):
                return  # it goes on by what is known here
            known = None if kept is None else self._conversations.learn(kept.project, kept.id, kept.state, kept.at)
            if known is not None and _is_enough(known, envelope):
                return
            await asyncio.sleep(_PAUSE)

    def _learn(self, kept: Sequence[Kept]) -> None:
        for one in kept:
            self._conversations.learn(one.project, one.id, one.state, one.at)


def _is_enough(known: Conversation, envelope: Envelope) -> bool:
    """Whether nobody else can know more; what an agent asks beside its work is not part of it."""
    return known.leads_to(envelope.talk.turns, envelope.talk.steps) or (known.tools and not envelope.tools)
