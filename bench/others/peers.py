"""Which routers are asked, in which version, with which settings, and what each was made for."""

from typing import Final

import msgspec


class Way(msgspec.Struct, frozen=True):
    """One way to install a router.

    Attributes:
        name: what is special about it; "" for the usual one.
        steps: the arguments of one ``pip install`` each, in order.
    """

    name: str
    steps: tuple[tuple[str, ...], ...]


class Setting(msgspec.Struct, frozen=True):
    """One entrant: its label in the tables, and what its driver is told."""

    label: str
    arguments: tuple[str, ...]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A router that is asked.

    Attributes:
        name: of its package.
        driver: the module below `bench.others.drivers` that asks it.
        ways: how to install it; the first that works counts.
        settings: each is asked by itself.
        made_for: what its makers built it for, in a sentence.
        how: how it was set up, and how its tiers became ours.
    """

    name: str
    driver: str
    ways: tuple[Way, ...]
    settings: tuple[Setting, ...]
    made_for: str
    how: str


# Versions are exact: routers change their minds between releases, and a table is worth only what can be asked again.
PEERS: Final = (
    Peer(
        name="litellm",
        driver="litellm_complexity",
        ways=(Way("", (("litellm==1.106.2",),)),),
        settings=(
            Setting("LiteLLM heuristic", ("heuristic",)),
            Setting("LiteLLM heuristic_v2", ("heuristic_v2",)),
        ),
        made_for="Choosing a model per chat request in a proxy, from the words of the request.",
        how="Default weights, thresholds and keywords, stall escalation on. "
        "SIMPLE is light, MEDIUM standard, COMPLEX and REASONING heavy.",
    ),
    Peer(
        name="nemo-switchyard",
        driver="switchyard_stage",
        ways=(Way("", (("nemo-switchyard==0.3.0",),)),),
        settings=tuple(Setting(f"Switchyard {threshold}", (threshold,)) for threshold in ("0.0", "0.3", "0.5")),
        made_for="Changing the model request by request while an agent works, from tool results; not from the task's text.",
        how="The stage router, efficient_first, confidence thresholds 0.0, 0.3 and 0.5, no LLM judge. "
        "Efficient is light, capable heavy.",
    ),
    Peer(
        name="uncommon-route",
        driver="uncommon_route",
        ways=(
            Way("", (("uncommon-route==0.7.21",),)),
            # What is left out serves the embedding signal alone, and that abstains anyway where its model is not at hand.
            Way(
                "without sentence-transformers and xgboost",
                (
                    ("httpx", "uvicorn", "starlette", "numpy", "scikit-learn"),
                    ("--no-deps", "uncommon-route==0.7.21"),
                ),
            ),
        ),
        settings=(Setting("UncommonRoute auto", ("auto",)),),
        made_for="Choosing a model per request or agent step, by voting of metadata, structure and an embedding.",
        how="Mode auto, three models of its own list. SIMPLE is light, MEDIUM standard, COMPLEX heavy.",
    ),
)
