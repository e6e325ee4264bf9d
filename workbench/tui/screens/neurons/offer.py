"""What the screen says where there is no index yet, or only the weights; and what building one costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.text import count, estimate

if TYPE_CHECKING:
    from workbench.model_info import ModelInfo

TOKENS_PER_SECOND = 700
"""of a small model on two cores; the step itself measures and says"""


WEIGHTS = "from the weights alone"


class Offer(NamedTuple):
    """An index that could be built."""

    label: str
    params: dict[str, Any]
    help: str


def offers(rate: float | None = None) -> list[Offer]:
    """Small first. `rate` in tokens/s is this model's own, where an index has been built already."""
    choices = [Offer(WEIGHTS, {"tokens": 0}, "within a minute: what each promotes, norms, neighbours; no text is read")]
    for tokens in (20_000, 300_000, 1_000_000):
        cost = estimate(tokens / (rate or TOKENS_PER_SECOND), "about ")
        choices.append(
            Offer(
                f"{count(tokens)} tokens of the standard library",
                {"corpus": "stdlib", "tokens": tokens, "explain": True},
                f"{cost}{'' if rate else ' on two cores, less on a GPU'}; browsable while it grows",
            )
        )
    return choices


def feature_offers(model: ModelInfo | None) -> list[Offer]:
    """Indexes of the features of every registered SAE that is not another model's."""
    from workbench.artifacts.sae import list_saes

    fingerprints = ("", model.fingerprint if model else "")
    return [
        Offer(
            f"{count(tokens)} tokens, features of {artifact.name}",
            {"corpus": "stdlib", "tokens": tokens, "sae": artifact.name},
            f"what each feature of {artifact.name} fires on and promotes; browsable while it grows",
        )
        for artifact in list_saes()
        if not artifact.problem and (artifact.fingerprint in fingerprints or not fingerprints[1])
        for tokens in (20_000, 300_000)
    ]


NO_FEATURES = "no index of an SAE's features yet: choose one to build (workbench run index --sae NAME)"
NO_SAE = (
    "no SAE of this model is registered: workbench sae add FOLDER|ORG/NAME/PATH reads one, the experiment sae-train "
    "trains one; then f builds an index of its features"
)
WEIGHTS_ONLY = "weights alone: what each neuron promotes, norms, neighbours. I builds an index of what it fires on"
NO_INDEX = (
    "There is no index of this model yet.\n\n"
    "As soon as the model is loaded one is made from its weights alone: what each neuron promotes and suppresses, its "
    "norms and neighbours. To see what neurons fire on, press I and choose how much text to read: 20,000 tokens take "
    "half a minute to a minute on two cores, and the list can be browsed while it grows."
)
