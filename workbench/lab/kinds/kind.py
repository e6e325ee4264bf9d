"""What a kind of unit is to the lab. Each file of this folder ends in `LAB_KIND = ...`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from workbench.lab.loaded import Model
from workbench.lab.parts import Part
from workbench.lab.prompts import Prompt
from workbench.lab.sae.placing import PlacedSae
from workbench.model_info import ModelInfo
from workbench.units import Feature, Site, Unit

U = TypeVar("U", bound=Unit)


@dataclass(frozen=True)
class Reading:
    """A unit over one prompt."""

    unit: str
    part: str
    """`activation`; of a gated neuron also `gate` (before its activation function) and `linear`, whose product with
    the activated gate the activation is; `norm` of a head or site; `projection` on a direction"""
    values: np.ndarray
    """float32 [position]; of a direction [layer, position]"""
    main: bool = True
    """whether this part stands for the unit; the others explain it"""


class Weights(Protocol):
    """What reading needs of a model's weights."""

    def head_output(self, layer: int, head: int) -> torch.Tensor:
        """What a head's z adds to the stream with, float32 [d_head, d_model]."""

    def direction(self, name: str) -> np.ndarray:
        """float32 [d_model]"""

    def sae(self, unit: Feature) -> PlacedSae:
        """The SAE that a feature is of. Raises UserError."""


class Lookup(Protocol):
    """What writing needs beside the units' addresses."""

    def direction(self, name: str) -> torch.Tensor:
        """A named vector as stored, [d_model]."""

    def sae(self, unit: Feature) -> PlacedSae:
        """The SAE that a feature is of. Raises UserError."""


class Place(NamedTuple):
    """Where units are written."""

    site: Site
    part: Part


class EditedAt(NamedTuple):
    """Positions of one prompt that an edit acts on."""

    prompt: Prompt
    first: int
    end: int
    """the one after the last"""


class Pool(NamedTuple, Generic[U]):
    """Units that can stand for each other in a control."""

    edited: list[U]
    candidates: list[U]
    """the edited among them"""


class Matched(ABC, Generic[U]):
    """How matched random controls of a kind are drawn: other units in the places of the edited ones (METHODS,
    "Controls").
    """

    @abstractmethod
    def pools(self, units: Sequence[U], model: Model, edited_at: Mapping[Unit, Sequence[EditedAt]]) -> list[Pool[U]]:
        """The edited units by what they can be exchanged with; `edited_at` says where each is edited, if known."""

    @abstractmethod
    def describe(self, n: int) -> str:
        """What the controls of `n` units are."""


class LabKind(ABC, Generic[U]):
    """Reads a kind of unit, and says where it is written and what it is compared with."""

    matched: Matched[U] | None = None
    """None where no other unit can stand for one: controls then take other directions"""
    per_layer: bool = False
    """whether a reading has a number for every layer, too"""

    @abstractmethod
    def sites(self, unit: U, info: ModelInfo) -> list[Site]:
        """What a pass has to capture to read it. Raises UserError for what is no number per token."""

    @abstractmethod
    def read(self, unit: U, captured: Mapping[Site, torch.Tensor], info: ModelInfo, weights: Weights) -> list[Reading]:
        """The unit over one prompt; `captured` are its sites, [position, …] each."""

    def remark(self, info: ModelInfo) -> str:
        """What a reader has to know of these readings in this model; empty where there is nothing."""
        return ""

    @abstractmethod
    def places(self, units: Sequence[U], info: ModelInfo, lookup: Lookup) -> list[Place]:
        """Where units are written, each place once."""


def array(values: torch.Tensor) -> np.ndarray:
    """As float32, on the CPU."""
    return np.asarray(values.float().cpu().numpy())


def sets_of(n: int, plural: str) -> str:
    """What the controls of several units are: `matched random pairs of neurons`.

    `plural` is empty for units of many kinds.
    """
    of = f" of {plural}" if plural and n == 2 else f" {plural}" if plural else ""
    return f"matched random pairs{of}" if n == 2 else f"matched random sets of {n:,}{of}"
