"""What experiments on probes share: a labelled set on the model's tokens, and probes that read the tokens alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from workbench.artifacts import data_set
from workbench.datasets.labelled.examples import TEST, TRAIN, VALIDATION, Examples
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText
from workbench.datasets.labelled.limiting import limited
from workbench.errors import UserError
from workbench.experiment import Cost
from workbench.report import Report
from workbench.room import estimated_tokens
from workbench.text import count, quoted

if TYPE_CHECKING:
    from workbench.lab import Lab

MostExamples = Annotated[
    int,
    Meta(
        ge=0,
        description="examples of the set at most, drawn evenly by class and document; 0: all",
        extra={"unit": "examples", "more": True},
    ),
]
MostTokens = Annotated[
    int,
    Meta(
        ge=0,
        description="tokens of the set's texts at most, drawn evenly by class and document; 0: all",
        extra={"unit": "tokens", "more": True},
    ),
]
NGRAM = 3
"""tokens of the longest n-gram that a probe on tokens reads"""


@dataclass(frozen=True)
class ProbeData:
    """A set of two classes as examples of one tokenizer; `train`, `validation` and `test` are int64 [example]."""

    name: str
    set_hash: str
    """the set's hash as an artifact"""
    examples: Examples
    label: np.ndarray
    """bool [example]"""
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def document(self) -> np.ndarray:
        """int64 [example]"""
        return self.examples.document

    @property
    def is_pooled(self) -> bool:
        """An example reads several tokens."""
        return self.examples.pooling != "token"

    @property
    def always_f1(self) -> float:
        """F1 on test of calling every example positive: 2p / (1 + p)."""
        share = float(self.label[self.test].mean())
        return 2 * share / (1 + share)

    @property
    def describe(self) -> str:
        """`months · 300 + 900 examples · test 350 of 110 documents`."""
        positive = int(self.label.sum())
        return (
            f"{self.name} · {count(positive)} + {count(len(self.label) - positive)} examples · test "
            f"{count(len(self.test))} of {count(len(np.unique(self.document[self.test])))} documents"
        )


def probe_data(
    lab: Lab,
    labelled: LabelledSet,
    report: Report,
    *,
    numbers: bool = False,
    seed: int | None = None,
    examples: int = 0,
    tokens: int = 0,
) -> ProbeData:
    """A set, aligned and split with a seed (the lab's); what a reader must know of it goes to the notes.

    At most so many `examples` and `tokens` of it, where these are not 0 (`limited`).

    Raises UserError where no set was named, no probe can be fitted on it, or targets are numbers, unless `numbers` may
    be.
    """
    from workbench.datasets.labelled.aligning import examples_of

    if not len(labelled):
        raise UserError(
            "no data set was named: give --data NAME-OR-FILE (a CSV with prompt,target is enough; the sets that there "
            "are: workbench data list)"
        )
    if labelled.numeric and not numbers:
        raise UserError(
            f"the targets of {labelled.name or 'the set'} are numbers, and this probe tells two classes apart: use "
            "dense-probe --method ridge, or import the set with --positive CLASS"
        )
    seed = lab.seed if seed is None else seed
    drawn = _drawn(lab, labelled, examples, tokens, seed, report)
    aligned, problems = examples_of(drawn, lab.model.tokens.tokenizer, lab.info.n_ctx, seed)
    for sentence in problems.sentences:
        report.note(f"data: {sentence}")
    parts = [np.flatnonzero(aligned.split == part) for part in (TRAIN, VALIDATION, TEST)]
    set_hash = data_set.content_of(labelled).hash
    return ProbeData(labelled.name or "set", set_hash, aligned, aligned.label > 0.5, *parts)


def _drawn(lab: Lab, labelled: LabelledSet, examples: int, tokens: int, seed: int, report: Report) -> LabelledSet:
    """What of a set is probed, which is said where it is not all of it."""
    if not examples and not tokens:
        return labelled

    def sizes(texts: Sequence[LabelledText]) -> list[int]:
        ids = lab.model.tokens.tokenizer([text.text for text in texts])["input_ids"]
        return [min(len(row), lab.info.n_ctx) for row in ids]

    drawn = limited(labelled, examples or len(labelled), tokens, sizes, seed)
    if len(drawn) < len(labelled):
        limits = [f"{count(examples)} examples"] * bool(examples) + [f"{count(tokens)} tokens of text"] * bool(tokens)
        report.note(
            f"data: {count(len(drawn))} of {count(len(labelled))} examples, in {count(len(drawn.texts))} of "
            f"{count(len(labelled.texts))} texts, drawn evenly by class and document with seed {seed}: at most "
            f"{' and '.join(limits)}"
        )
    return drawn


def probed_types(data: ProbeData) -> tuple[np.ndarray, str]:
    """The token that a control task draws labels for, int64 [example], and which one that is, in words.

    The probed one; the one before it where the probed one is the same in all examples (compound words).
    """
    examples = data.examples
    rows = zip(examples.window.tolist(), examples.last.tolist(), strict=True)
    pairs = np.array([[examples.windows[window][last], examples.windows[window][last - 1]] for window, last in rows])
    constant = len(np.unique(pairs[:, 0])) < 2
    return pairs[:, int(constant)], "the token before" if constant else "the probed token"


@dataclass(frozen=True)
class TokenBaseline:
    """A probe that reads tokens and no activations."""

    key: str
    name: str
    logits: np.ndarray
    """float64 [test example]"""
    validation: np.ndarray
    """float64 [validation example]"""


def token_baselines(data: ProbeData) -> list[TokenBaseline]:
    """Fitted on train: the token's identity and its n-grams; of pooled sets the bag of tokens that are read."""
    from workbench.lab.probing.token_probes import bags, fit_tokens, identities, ngrams

    examples = data.examples
    spans = [
        examples.windows[window][first : last + 1] if data.is_pooled else examples.windows[window][: last + 1]
        for window, first, last in zip(
            examples.window.tolist(), examples.first.tolist(), examples.last.tolist(), strict=True
        )
    ]
    if data.is_pooled:
        features = [("bag_of_tokens", "bag of tokens", bags(spans))]
    else:
        features = [
            ("token_identity", "the token's identity", identities([span[-1] for span in spans])),
            ("ngram", f"its n-grams up to {NGRAM}", ngrams([span[-NGRAM:] for span in spans], NGRAM)),
        ]
    baselines = []
    for key, name, all_features in features:
        probe = fit_tokens([all_features[at] for at in data.train], data.label[data.train])
        test, validation = (probe.logits([all_features[at] for at in rows]) for rows in (data.test, data.validation))
        baselines.append(TokenBaseline(key, name, test, validation))
    return baselines


def seen_in_train(data: ProbeData) -> np.ndarray:
    """Which test examples' token is also probed in train: bool [test example]."""
    types, _ = probed_types(data)
    return np.isin(types[data.test], types[data.train])


def probe_name(asked: str, default: str) -> str:
    """What a probe is called. Raises UserError for a name that lists and commands can't take."""
    name = asked.strip().removeprefix("@")
    if not name:
        return re.sub(r"[^\w.-]+", "-", default).strip("-.") or "probe"
    if not re.fullmatch(r"\w(?:[\w.-]*\w)?", name):
        raise UserError(f"{quoted(name)} is no name for a probe: letters, digits, _ . and - in between, like months-L9")
    return name


def store_cost(
    labelled: LabelledSet, width: int, layers: int, most_examples: int = 0, most_tokens: int = 0
) -> Cost | None:
    """What taking a set's activations takes, so many numbers of so many layers, within limits; None without a set."""
    from workbench.artifacts.activations import store_bytes

    if not labelled:
        return None
    texts, examples = labelled.texts, len(labelled)
    tokens = sum(estimated_tokens(text.text) for text in texts) / len(texts)
    passes = min(len(texts), most_tokens / tokens) if most_tokens else len(texts)
    examples = round(examples * passes / len(texts))
    if most_examples:
        passes, examples = min(passes, most_examples), min(examples, most_examples)
    return Cost(passes=passes, tokens=tokens, typical=False, disk=store_bytes(width, layers, examples))
