"""What `features` shows: a text's features, token by token, beside how often each fires on a sample. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.result_keys import Features
from workbench.text import count, number, show_token
from workbench.views import Column, Lines, Series, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.experiments._sae import OpenedSae
    from workbench.lab.prompts import Prompt
    from workbench.lab.sae.on_text import FiredOn
    from workbench.lab.sae.placing import PlacedSae

COLOURED = 8
"""features with a row in the strip of tokens: the strongest"""
NAMED = 3
"""features that the sentence names"""
EVERYWHERE = 0.1
"""a feature that fires on more than this share of the sample fires everywhere (METHODS, "SAE quality")"""


@dataclass(eq=False)
class Read:
    """One SAE on the text."""

    opened: OpenedSae
    clean: FiredOn
    shown: FiredOn
    """under the edits; without any the same as `clean`"""
    frequency: np.ndarray | None = None
    """share of the sample's tokens that each feature fires on, [feature]; None before the sample is read"""

    @property
    def name(self) -> str:
        return self.opened.name

    @property
    def placed(self) -> PlacedSae:
        return self.opened.placed

    def feature(self, index: int) -> str:
        return f"L{self.placed.site.layer}.F{index}/{self.name}"

    def share(self, fired: FiredOn) -> float:
        """Of the squared norm that is explained, mean over tokens."""
        return float(np.nanmean(fired.explained))

    def mean_l0(self, fired: FiredOn) -> float:
        return float(np.nanmean(fired.l0))

    def common(self, index: int) -> tuple[float | None, float | None]:
        """Share of the sample's tokens that a feature fires on, and the ratio of the text's share to it; None where
        the sample is not read yet, and the ratio where the feature never fires on it."""
        if self.frequency is None:
            return None, None
        often = float(self.frequency[index])
        here = float(self.shown.tokens[index]) / (len(self.shown.explained) - 1)
        return often, here / often if often else None


class Strong(NamedTuple):
    """A feature of the text."""

    read: Read
    number: int
    clean: float
    """contribution, as features are ordered"""
    shown: float

    @property
    def name(self) -> str:
        return self.read.feature(self.number)


@dataclass(frozen=True)
class Shown:
    """The views, over what is known so far."""

    prompt: Prompt
    read: Sequence[Read]
    by: str
    """`sum` or `max` over tokens: the order of the text's features"""
    rows: int
    edited: bool
    sample: str
    """empty before it is read"""

    @property
    def _baseline(self) -> str:
        return self.sample or "the sample is not read yet"

    @property
    def _measure(self) -> str:
        over = "summed over the tokens" if self.by == "sum" else "the largest of the tokens"
        return f"activation × ‖W_dec‖, {over}"

    def strongest(self, most: int) -> list[Strong]:
        """Features of all SAEs by contribution, clean or edited, whichever is larger."""
        every: list[Strong] = []
        for read in self.read:
            clean, shown = ((each.total if self.by == "sum" else each.largest) for each in (read.clean, read.shown))
            larger = np.maximum(clean, shown)
            order = np.argsort(-larger, kind="stable")[:most]
            every += [Strong(read, int(at), float(clean[at]), float(shown[at])) for at in order if larger[at] > 0]
        return sorted(every, key=lambda each: -max(each.clean, each.shown))[:most]

    def _label(self, strong: Strong) -> str:
        """In words: whose it is is said where there are several SAEs; tables have the whole name."""
        return strong.name if len(self.read) > 1 else f"L{strong.read.placed.site.layer}.F{strong.number}"

    def tokens(self) -> Tokens:
        rows = []
        for each in self.strongest(COLOURED):
            label = self._label(each)
            if self.edited:
                rows.append(TokenRow(name=f"{label} clean", values=each.read.clean.along(each.number)[1]))
            name = f"{label} edited" if self.edited else label
            rows.append(TokenRow(name=name, values=each.read.shown.along(each.number)[1]))
        return Tokens(
            title="The strongest features, token by token",
            note=f"ordered by {self._measure}; position 0 left out",
            tokenization=self.prompt.tokenization,
            tokens=self.prompt.tokens,
            rows=rows,
            value_label="contribution: activation × ‖W_dec‖",
            low_label="silent",
            high_label="strong",
        )

    def features(self) -> Table:
        rows: list[list[Any]] = []
        for each in self.strongest(self.rows):
            fired = each.read.shown if each.shown else each.read.clean
            activation, along = fired.along(each.number)
            at = int(np.nanargmax(along))
            often, ratio = each.read.common(each.number)
            here = float(each.read.shown.tokens[each.number]) / (len(along) - 1)
            everywhere = "everywhere" if often is not None and often > EVERYWHERE else ""
            values = [each.clean, *([each.shown] if self.edited else [])]
            rows.append(
                [
                    *(each.name, self.prompt.tokens[at], at, float(activation[at])),
                    *(*values, here, often, ratio, everywhere),
                ]
            )
        contribution = f"contribution, {self.by}"
        edited = [Column(key="contribution_edited", name="edited", kind="number", edited=True)] if self.edited else []
        return Table(
            title="Features of the text",
            note=f"contribution: {self._measure}; token, activation: where it is strongest; sample: {self._baseline}",
            columns=[
                Column(key=Features.FEATURE, name="feature", kind="unit", gives_way="never"),
                Column(key="token", name="strongest at", kind="token", gives_way="late"),
                Column(key="position", name="position", kind="position", gives_way="early"),
                Column(key="activation", name="activation", kind="number", gives_way="early"),
                Column(key=Features.CONTRIBUTION, name=contribution, kind="number", gives_way="never"),
                *edited,
                Column(
                    key="here",
                    name="of this text",
                    kind="number",
                    help="share of its tokens it fires on",
                    gives_way="early",
                ),
                Column(
                    key="sample",
                    name="of the sample",
                    kind="number",
                    help="share of the sample's tokens",
                    gives_way="late",
                ),
                Column(
                    key=Features.RATIO,
                    name="ratio",
                    kind="number",
                    gives_way="late",
                    help="share of this text's tokens over share of the sample's; none where it never fires there",
                ),
                Column(key="common", name="fires", help=f"everywhere: on more than {EVERYWHERE:.0%} of the sample"),
            ],
            rows=rows,
        )

    def by_token(self, top: int) -> Table:
        rows: list[list[Any]] = []
        for position in range(1, len(self.prompt)):
            entries: list[tuple[float, float, Read, int]] = []
            for read in self.read:
                fired = read.shown
                start, end = np.searchsorted(fired.positions, [position, position + 1])
                entries += [
                    (float(fired.contributions[at]), float(fired.activations[at]), read, int(fired.features[at]))
                    for at in range(start, end)
                ]
            for contribution, activation, read, index in sorted(entries, key=lambda entry: -entry[0])[:top]:
                often, ratio = read.common(index)
                token = self.prompt.tokens[position]
                rows.append([position, token, read.feature(index), activation, contribution, often, ratio])
        return Table(
            title=f"Each token's {top} strongest features" + (", under the edits" if self.edited else ""),
            note=f"by contribution: activation × ‖W_dec‖; ratio: of the whole text; sample: {self._baseline}",
            columns=[
                Column(key="position", name="position", kind="position"),
                Column(key="token", name="token", kind="token", gives_way="never"),
                Column(key=Features.FEATURE, name="feature", kind="unit", gives_way="never"),
                Column(key="activation", name="activation", kind="number"),
                Column(key=Features.CONTRIBUTION, name="contribution", kind="number", gives_way="never"),
                Column(key="sample", name="of the sample", kind="number", help="share of its tokens it fires on"),
                Column(key=Features.RATIO, name="ratio", kind="number"),
            ],
            rows=rows,
        )

    def explained(self) -> Lines:
        return self._lines(
            "Squared norm that the reconstruction explains",
            "1 − ‖x − s‖² / ‖x‖² at each token; below 0 it is further away than nothing; position 0 left out",
            "share of ‖x‖²",
            [(read, [each.explained for each in self._both(read)]) for read in self.read],
        )

    def l0(self) -> Lines:
        return self._lines(
            "Features that fire on each token (L0)",
            "position 0 left out",
            "features",
            [(read, [each.l0 for each in self._both(read)]) for read in self.read],
        )

    def _both(self, read: Read) -> list[FiredOn]:
        return [read.clean, read.shown] if self.edited else [read.shown]

    def _lines(self, title: str, note: str, label: str, of: list[tuple[Read, list[np.ndarray]]]) -> Lines:
        kinds = [" clean", " edited"] if self.edited else [""]
        return Lines(
            title=title,
            note=note,
            x=np.arange(1, len(self.prompt)),
            series=[
                Series(name=f"{read.name}{kind}", y=values[1:])
                for read, both in of
                for kind, values in zip(kinds, both, strict=True)
            ],
            x_label="token",
            y_label=label,
            x_ticks=[show_token(token) for token in self.prompt.tokens[1:]],
        )

    def sentence(self) -> str:
        strongest = self.strongest(self.rows)
        parts = [self._named(strongest)]
        for read in self.read:
            who = "" if len(self.read) == 1 else f"{read.name}: "
            share, l0 = number(read.share(read.shown)), number(read.mean_l0(read.shown))
            before = f" (clean {number(read.share(read.clean))})" if self.edited else ""
            parts.append(f"{who}{share} of the squared norm explained{before}, {l0} features a token")
            flags = read.opened.fit.flags
            if flags:
                parts.append(f"{read.name} does not fit: {flags[0]}")
        return " · ".join([*parts, f"sample: {self._baseline}"])

    def _named(self, strongest: list[Strong]) -> str:
        if not strongest:
            return "no feature fires on this text"
        known = all(read.frequency is not None for read in self.read)
        specific = [each for each in strongest if known and (each.read.common(each.number)[0] or 0) <= EVERYWHERE]
        chosen = (specific or strongest)[:NAMED]
        words = []
        for each in chosen:
            often, ratio = each.read.common(each.number)
            if often is None:
                more = ""
            elif ratio is None:
                more = ", never on the sample"
            else:
                more = f", on {number(100 * often)} % of the sample, ratio {number(ratio)}"
            words.append(f"{self._label(each)} (contribution {number(each.shown)}{more})")
        under = " under the edits" if self.edited else ""
        of = "" if len(self.read) > 1 else f" of {self.read[0].name}"
        sentence = f"strongest{of}{under}: {', '.join(words)}"
        if known:
            first = strongest[:COLOURED]
            n = len(first) - sum(each in specific for each in first)
            if n:
                left = ", which are left out here" if specific else ""
                sentence += f" · {count(n)} of the {len(first)} strongest fire everywhere{left}"
        return sentence
