"""The `Agent` port: something that does a unit of work on a model and tells what happens as it happens."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from stepdown.catalog.records import Model
from stepdown.units import Tokens, Unit


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as an agent is told of it.

    Attributes:
        unit: what is to be done.
        prompt: what the agent is told, whole.
        model: what it runs on; its `id` is what the provider's API calls it. None: the agent's own default.
        workdir: the project's directory; the agent works there.
        writes: files of the plan that have to exist afterwards, relative to `workdir`.
        timeout: seconds the attempt may take in all; it is stopped then.
        cost_cap: US dollars the attempt may cost; None is no cap. Agents that can stop themselves are told.
        env: variables set for the agent's process on top of the environment.
    """

    unit: Unit
    prompt: str
    workdir: Path
    model: Model | None = None
    writes: tuple[str, ...] = ()
    timeout: float = 3600.0
    cost_cap: float | None = None
    env: Mapping[str, str] = {}


class Started(msgspec.Struct, frozen=True, tag=True):
    """The agent runs; `model` is the one it says it uses, `session` its own id for the conversation."""

    model: str = ""
    session: str = ""


class Step(msgspec.Struct, frozen=True, tag=True):
    """One step: the model said something or called a tool.

    Attributes:
        kind: ``text``, ``tool`` (a call) or ``result`` (what a tool answered).
        name: the tool's name; "" for text.
        detail: one line for the screen, shortened.
        error: whether a tool's result was an error.
    """

    kind: str
    name: str = ""
    detail: str = ""
    error: bool = False


class Used(msgspec.Struct, frozen=True, tag=True):
    """Tokens of one more request, as it ends; they add up to the attempt's."""

    tokens: Tokens
    model: str = ""


class Finished(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The last event of every attempt, exactly once.

    Attributes:
        failure: None for success; else a kind of SPEC 8: ``provider``, ``rejected``, ``quality``, ``budget``, ``cancelled``.
        message: for a failure, one line: what happened and what to do.
        tokens: everything the attempt used; None where the agent does not say.
        cost_usd: what the agent itself says it cost; None where it does not say.
        billed: whether `cost_usd` is what is charged, and not the agent's own estimate from a price list.
        requests: requests to the provider; None where unknown.
        model: the model that answered, as the agent names it; "" where unknown.
        text: the agent's last words.
    """

    failure: str | None = None
    message: str = ""
    tokens: Tokens | None = None
    cost_usd: float | None = None
    billed: bool = False
    requests: int | None = None
    model: str = ""
    text: str = ""


Event = Started | Step | Used | Finished


class Agent(Protocol):
    """Does units of work.

    ``run`` yields events as they happen and ends with exactly one `Finished`; what goes wrong in the work is a `Finished`
    with a failure, never an exception. Closing the iterator early (``aclose``) stops the agent and all it started.

    An agent that has something to keep up between units is also an async context manager; a run enters it once.
    """

    name: str
    """What the ledger and the screen call it."""

    def providers(self) -> frozenset[str] | None:
        """The providers whose models it can reach; None: any."""
        ...

    def check(self) -> str | None:
        """None when it is ready; else one line saying what is missing and how to get it. Starts nothing that costs."""
        ...

    def configured_model(self, project: Path) -> str:
        """The model it runs on in `project` when nobody names one; "" where that is not known."""
        ...

    def run(self, job: Job) -> AsyncIterator[Event]:
        """Do the work.

        Raises:
            AgentError: it cannot start at all (not installed, not executable).
        """
        ...
