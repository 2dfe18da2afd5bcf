"""Whether a model can serve a piece of work whole (SPEC section 6): lossless, or not at all. Pure.

Unknown means does not fit: a window, a cap or a feature that the catalogue does not know is treated as missing.
"""

import msgspec

from stepdown.catalog.records import Model
from stepdown.decision import Needs


class Fit(msgspec.Struct, frozen=True):
    """The answer.

    Attributes:
        misfit: why the model cannot serve the work; "" means it can.
        adaptations: what is changed without loss so that it can, one line each.
    """

    misfit: str = ""
    adaptations: tuple[str, ...] = ()


FITS = Fit()


def fit(model: Model, needs: Needs) -> Fit:
    """Whether `model` can serve `needs`, and with which lossless adaptations."""
    if not needs.features <= model.features:
        missing = ", ".join(sorted(needs.features - model.features))
        return Fit(f"does not offer {missing}, as far as is known")
    if needs.protocol and needs.protocol not in model.protocols:
        return Fit(f"is not served on the {needs.protocol} protocol, and translating would lose something")
    if model.context is None:
        return Fit("its context window is unknown")
    if model.output is None:
        return Fit("its output cap is unknown")
    output = needs.output
    adaptations: tuple[str, ...] = ()
    if output > model.output:
        if not needs.output_adaptable:
            return Fit(f"writes at most {model.output:,} tokens where {output:,} are needed")
        adaptations = (f"max_tokens {output} -> {model.output}, the model's cap",)
        output = model.output
    if needs.prompt + output > model.context:
        return Fit(f"holds {model.context:,} tokens where {needs.prompt + output:,} are needed")
    return Fit("", adaptations) if adaptations else FITS
