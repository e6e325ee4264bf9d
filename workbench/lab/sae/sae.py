"""What every kind of sparse autoencoder has: the way in, the way back, and their normalisations.

    activations = sae.encode(x)          # [..., d_sae]
    s = sae.decode(activations, x)       # as x; of a transcoder [..., d_out]

Decoding takes what was encoded: normalisations are undone with its own numbers, and a skip connection reads it.
Formulas: SAELens (Bloom, Tigges, Duong, Chanin 2024); Gated SAEs, Rajamanoharan et al. 2024 (2404.16014); TopK, Gao et
al. 2024 (2406.04093); BatchTopK, Bussmann et al. 2024 (2412.06410); JumpReLU, Rajamanoharan et al. 2024 (2407.14435);
Matryoshka, Bussmann et al. 2025 (2503.17547); transcoders, Dunefsky et al. 2024 (2406.11944), with a skip connection
Paulo et al. 2025 (2501.18823).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch

from workbench.artifacts.sae import SaeConfig

STD_EPSILON = 1e-5
"""added to the standard deviation by `layer_norm`, as SAELens does"""
UNIT_NORM = 1e-3
"""decoder rows whose norms are this near to 1 are normalised"""


class SAE(ABC):
    """One sparse autoencoder or transcoder, in one number type on one device."""

    own: ClassVar[tuple[str, ...]]
    """names of the tensors [d_sae] that the kind has beside W_enc, W_dec and b_dec"""

    def __init__(self, config: SaeConfig, tensors: Mapping[str, torch.Tensor]) -> None:
        """`tensors` by SAELens' names: W_enc [d_in, d_sae], W_dec [d_sae, d_out], b_dec [d_out], those of the kind
        [d_sae], and with a skip connection W_skip [d_out, d_in]."""
        self.config = config
        self.tensors = dict(tensors)
        self.W_enc, self.W_dec, self.b_dec = (self.tensors[name] for name in ("W_enc", "W_dec", "b_dec"))
        self.W_skip = self.tensors.get("W_skip")
        self.centred = False
        """the mean over d_in is taken off before encoding and put back: set where the model asks for it"""
        self.offset: torch.Tensor | None = None
        """what is taken off before encoding and put back, [d_in]: biases of the model that training did not see"""
        self.gain: torch.Tensor | None = None
        """what the input is divided by, [d_in]: a norm's weight, of transcoders that read in front of it"""

    @abstractmethod
    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activations [row, d_sae] of normalised inputs [row, d_in], b_dec taken off where it is."""

    @property
    def dtype(self) -> torch.dtype:
        return self.W_enc.dtype

    @property
    def device(self) -> torch.device:
        return self.W_enc.device

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Self:
        """The same on another device, or in another number type."""
        moved = type(self)(
            self.config, {name: tensor.to(device, dtype or tensor.dtype) for name, tensor in self.tensors.items()}
        )
        moved.centred = self.centred
        moved.offset = None if self.offset is None else self.offset.to(device, dtype or self.offset.dtype)
        moved.gain = None if self.gain is None else self.gain.to(device, dtype or self.gain.dtype)
        return moved

    # --- in and back ------------------------------------------------------------------------------

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Activations [..., d_sae] of x [..., d_in]; of attention's z also [..., head, d_head]. Never negative."""
        flat = self._flat(x)
        inputs = self._normalised(self._prepared(flat).reshape(-1, self.config.d_in))
        if self.config.subtracts_b_dec:
            inputs = inputs - self.b_dec
        return self.activate(inputs).view(*flat.shape[:-1], self.config.d_sae)

    def decode(self, activations: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What activations [..., d_sae] stand for, where `x` was encoded: shaped as x; of a transcoder [..., d_out].

        In the SAE's own number type.
        """
        rows = activations.reshape(-1, self.config.d_sae)
        decoded = torch.addmm(self.b_dec, rows, self.W_dec).view(*activations.shape[:-1], self.config.d_out)
        if not self._changes_input and self.W_skip is None:
            return decoded.view(x.shape) if not self.config.is_transcoder else decoded
        prepared = self._prepared(self._flat(x))
        if self.config.is_transcoder:
            return decoded if self.W_skip is None else decoded + prepared @ self.W_skip.T
        return self._put_back(decoded, prepared, self._flat(x)).view(x.shape)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What it makes of x: encoded and decoded."""
        return self.decode(self.encode(x), x)

    def output_scale(self, x: torch.Tensor) -> torch.Tensor | float:
        """What a unit of a feature adds to the output where x was encoded, in rows of W_dec: [..., 1], or 1."""
        if self.config.is_transcoder or self.config.normalisation == "none":
            return 1.0
        prepared = self._prepared(self._flat(x))
        if self.config.normalisation == "layer_norm":
            return self._statistics(prepared)[1]
        return 1 / self._coefficient(prepared)

    # --- what it is -------------------------------------------------------------------------------

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., d_in] as the model of the training had it: what is encoded, before it is normalised."""
        return self._prepared(self._flat(x))

    def decoder_norms(self) -> torch.Tensor:
        """Of every feature, float32 [d_sae]."""
        return self.W_dec.float().norm(dim=-1)

    @property
    def has_unit_decoder(self) -> bool:
        """Whether the decoder's norms are folded in: then an activation is the length of what it adds."""
        norms = self.decoder_norms()
        return bool(((norms - 1).abs() <= UNIT_NORM).all())

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        """[..., d_in] in the SAE's number type."""
        if self.config.flattens_heads and x.shape[-1] != self.config.d_in:
            x = x.flatten(-2)
        return x.to(self.dtype)

    @property
    def _changes_input(self) -> bool:
        """Whether decoding has to undo what encoding did to its input."""
        return self.centred or self.offset is not None or self.config.normalisation != "none"

    def _prepared(self, flat: torch.Tensor) -> torch.Tensor:
        """As the model of the training had it."""
        if self.offset is not None:
            flat = flat - self.offset
        if self.gain is not None:
            flat = flat / self.gain
        return flat - flat.mean(-1, keepdim=True) if self.centred else flat

    def _normalised(self, prepared: torch.Tensor) -> torch.Tensor:
        if self.config.normalisation == "layer_norm":
            mean, std = self._statistics(prepared)
            return (prepared - mean) / (std + STD_EPSILON)
        if self.config.normalisation == "constant_norm_rescale":
            return prepared * self._coefficient(prepared)
        return prepared

    def _put_back(self, decoded: torch.Tensor, prepared: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        if self.config.normalisation == "layer_norm":
            mean, std = self._statistics(prepared)
            decoded = decoded * std + mean
        elif self.config.normalisation == "constant_norm_rescale":
            decoded = decoded / self._coefficient(prepared)
        if self.centred:
            decoded = decoded + (flat if self.offset is None else flat - self.offset).mean(-1, keepdim=True)
        return decoded if self.offset is None else decoded + self.offset

    def _statistics(self, prepared: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        std, mean = torch.std_mean(prepared, dim=-1, keepdim=True)
        return mean, std

    def _coefficient(self, prepared: torch.Tensor) -> torch.Tensor:
        """Brings a vector to length √d_in; of none at all it is 1."""
        norm = prepared.norm(dim=-1, keepdim=True)
        return torch.where(norm > 0, self.config.d_in**0.5 / norm, 1.0)
