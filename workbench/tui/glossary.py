"""What the words and columns of a screen mean, for its help: a sentence each, and who defines them in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn


class Glossary(NamedTuple):
    words: tuple[tuple[str, str], ...] = ()
    """each with its meaning"""
    sections: tuple[str, ...] = ()
    """of `workbench methods`"""


_KL = (
    "KL",
    "how far the next token's distribution moves from the clean run's, in nats: 0 is no change, .1 is seen easily, "
    "1 is another text",
)
_MATCHED = (
    "matched random",
    "the same done to random units of the same kind and layer that are as strong here: what such a change does anyway",
)
PROMPT = Glossary(
    (
        ("probability", "of a token as the next one, after this prompt"),
        ("log p", "its natural logarithm, in nats: +.69 is twice as likely"),
        ("entropy", "how undecided the model is, in nats: 0 is certain, .69 is two tokens alike"),
        _KL,
        _MATCHED,
        ("same norm", "beside it: random directions that move the stream as far as the edit does"),
        ("within rounding", "no larger than what another batch size changes on this device"),
    ),
    ("KL", "Controls", "Rounding"),
)
WHY = Glossary(
    (
        ("estimate", "what switching a unit off would do if the model were linear: −activation × gradient, in nats"),
        ("exact", "what it does: the unit set to 0 and the model run again"),
        ("straight", "what a part writes into the answer's logit itself, past all later layers"),
        ("foil", "another answer: what counts then is by how much the answer's logit is above the foil's"),
        ("!", "larger than the largest of all units for other likely answers: stands out from chance"),
        _MATCHED,
        ("other answers' picks", "as many units, picked in the same way for another answer: what picking alone does"),
    ),
    ("Attribution", "Controls", "Best of many"),
)
DIRECTIONS = Glossary(
    (
        ("AUC", "how often an item of one class projects further along it than one of the other: .5 chance, 1 always"),
        ("d′", "distance of the two class means in standard deviations"),
        ("cross-fitted", "measured on what the direction was not made from, in five folds"),
        ("shuffled labels", "the same made with the labels exchanged at random: what chance separates"),
        ("promotes", "tokens whose logit rises when the direction is added"),
        ("cos", "cosine: 1 the same direction, 0 unrelated, −1 opposite"),
        ("perplexity", "how surprising the continuation is to the unedited model: 1 not at all"),
    ),
    ("Token classes", "Refusal", "Controls"),
)
PROBES = Glossary(
    (
        ("MCC", "Matthews correlation of the probe's answers with the labels: 1 all right, 0 chance"),
        ("F1", "harmonic mean of precision and recall; beside it that of always saying yes"),
        ("AUC", "how often a labelled item scores above another one: .5 chance, 1 always"),
        ("k", "how many neurons the probe reads"),
        ("token's identity alone", "a probe that sees only which token it is: what needs no model"),
        ("control task", "the same probe with one random label a token: what it can learn by heart"),
        ("permutations", "the best of all units with shuffled labels: what the best of many reaches by chance"),
        ("class by class", "KL on the labelled tokens and on the others with the neuron at 0"),
    ),
    ("Sparse probes", "Monosemantic", "Best of many"),
)
SAES = Glossary(
    (
        ("explained variance", "share of the activations' variance that the reconstruction keeps: 1 all of it"),
        (
            "cross-entropy recovered",
            "of what zeroing the site costs in loss, the share that the reconstruction saves: 1 all of it",
        ),
        ("L0", "features that fire on a token"),
        ("dead", "features that never fire in the sample"),
        ("dense", "features that fire on more than a tenth of the tokens"),
        ("ε-random", "a random error of the same length, in any direction"),
        ("ε-Σ", "a random error of the same length, in directions in which activations vary"),
        ("ratio", "KL with the reconstruction over KL with such an error: 1 is no worse than chance"),
    ),
    ("SAE quality", "SAE errors"),
)
_CARD = (
    ("p96.2", "a percentile within the neuron's layer"),
    ("log counts", "how often each activation occurs on the corpus; heights are logarithms"),
    ("Σa²", "sum of squared activations: which sign carries the neuron"),
    ("when +, when −", "tokens whose logits rise with the activation, by how much for each unit of it"),
    ("reads like, writes like", "neurons with the most similar input or output weights, and the cosine"),
    ("your text", "the activation on your text, token by token; clean beside switched off"),
)


def of_neurons(columns: Mapping[str, IndexColumn], shown: tuple[str, ...]) -> Glossary:
    """Of the columns that are shown, then of the card and what it says of the others."""
    others = [name for name in columns if name not in shown]
    described = [(columns[name].title, columns[name].help) for name in (*shown, *others) if name in columns]
    counts = ("counts", "how often each activation occurs, from the lowest to the highest; heights are logarithms")
    first = len([name for name in shown if name in columns])
    return Glossary(
        (*described[:first], counts, *_CARD, *described[first:]), ("Neuron statistics", "Effective weights")
    )
