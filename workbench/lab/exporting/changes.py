"""The tensors of the copy: those of the model, and those that the edits change, made one at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workbench.lab.exporting.weight_edits import WeightEdits
from workbench.lab.exporting.writers import changed, checkpoint_tensors, head_name, stream_writers
from workbench.lab.loaded import Model


@dataclass
class Change:
    """What was changed of the weights of one role."""

    role: str
    n: int = 0
    """tensors"""
    before: float = 0.0
    """their squared norm"""
    difference: float = 0.0
    """squared norm of what was taken away"""

    @property
    def removed(self) -> float:
        """Share of their squared norm."""
        return self.difference / self.before if self.before else 0.0


class ChangedTensors:
    """A model's tensors by the names of its checkpoint, under edits."""

    def __init__(self, model: Model, edits: WeightEdits) -> None:
        """Raises UserError where the model has weights that edits can't be written into."""
        self.edits = edits
        self._model = model
        tensors = checkpoint_tensors(model)
        self._writers = stream_writers(model, tensors)
        tied_head = head_name(model, tensors)
        self.unties = tied_head is not None and bool(edits.directions)
        """the unembedding was the token embedding, and gets a tensor of its own"""
        if tied_head is not None and not edits.directions:
            del tensors[tied_head]
        self.by_name = tensors
        self._roles: dict[str, Change] = {}

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.by_name.values())

    @property
    def changes(self) -> list[Change]:
        """Of what was made so far, by role."""
        return list(self._roles.values())

    def change(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor as the copy has it."""
        into_stream = self._writers.get(name)
        if into_stream is None or not (self.edits.directions or into_stream.site in self.edits.factors):
            return tensor
        info = self._model.info
        with torch.inference_mode():
            after = changed(tensor, into_stream, self.edits, info.d_head, info.d_model)
            role = self._roles.setdefault(into_stream.role, Change(into_stream.role))
            role.n += 1
            role.before += float(tensor.float().square().sum())
            role.difference += float((tensor.float() - after.float()).square().sum())
        return after
