"""Training a sparse autoencoder, step by step: top-k and batch-top-k, with the auxiliary loss for dead features.

Top-k, the auxiliary loss and W_enc = W_decᵀ at the beginning: Gao et al. 2024 (arXiv 2406.04093), sections 2.3 and A.2.
Batch-top-k and its threshold: Bussmann et al. 2024 (arXiv 2412.06410). Decoder rows keep norm 1, and the part of their
gradient that lies along them is taken off: Bricken et al. 2023. The loss is Σ‖x − s‖² over Σ‖x − x̄‖², the variance
left unexplained, so that neither it nor what balances it depends on the activations' scale; they are multiplied to a
mean norm of √d besides, which the finished weights have folded in.

Gradients are written out: torch's own would make every matrix as wide as the SAE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import torch

from workbench.lab.sae.codes import Codes, batch_top_k, top_k

TrainedKind = Literal["topk", "batchtopk"]
BETAS = (0.9, 0.999)
EPSILON = 1e-8
CLIPPED = 1.0
"""norm of all gradients together, at most"""
THRESHOLD_RATE = 0.01
"""of batch-top-k: how far a batch moves the threshold at least, as SAELens does"""
THRESHOLD_MEMORY = 0.05
"""share of the run that it looks back over at most: a short one would keep what it was at its start"""
LIKELY = 0.8
"""times the threshold: nearly always below what the next batch lets through"""
MOVED = ("W_dec", "W_enc", "b_enc", "b_dec")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of a training; shares are of the whole run."""

    kind: TrainedKind
    width: int
    k: int
    steps: int
    batch: int
    """tokens of a step"""
    rate: float
    """Adam's learning rate between warm-up and decay"""
    warm_up: float
    decay: float
    """share at the end in which the rate goes to 0"""
    auxiliary: float
    """the auxiliary loss counts so much"""
    dead_after: float
    """share of the run in which a dead feature has not fired"""
    seed: int


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the activations before the first step."""

    factor: float
    """what they are multiplied with: √d over their mean norm"""
    variance: float
    """mean of ‖x − x̄‖², before that"""


class StepResult(msgspec.Struct, frozen=True):
    """Sums over a step's tokens."""

    errors: float
    """Σ‖x − s‖², of activations as they are"""
    active: int
    """entries that fire"""
    dead: int
    """features"""


class Training:
    """Weights, Adam's moments and how long each feature has been silent; all of it in `state`."""

    def __init__(self, settings: Settings, scaling: Scaling, mean: torch.Tensor, device: torch.device) -> None:
        """`mean` [d] of the activations is where b_dec begins: outlier dimensions kill features else."""
        self.settings, self.scaling = settings, scaling
        random = torch.Generator().manual_seed(settings.seed)
        rows = torch.nn.functional.normalize(torch.randn(settings.width, len(mean), generator=random), dim=-1)
        self.W_dec = rows.to(device)
        """[feature, d], of norm 1"""
        self.W_enc = self.W_dec.clone()
        """[feature, d], transposed to how SAEs are stored, so that a feature's gradient lies together"""
        self.b_enc = torch.zeros(settings.width, device=device)
        self.b_dec = (mean.float() * scaling.factor).to(device)
        self.threshold = torch.zeros((), dtype=torch.float64)
        """of batch-top-k: what an activation has to reach without a batch beside it"""
        self.silent = torch.zeros(settings.width, dtype=torch.int64, device=device)
        """[feature], tokens since it fired"""
        self.step = 0
        self._adam = torch.optim.Adam(
            [getattr(self, name) for name in MOVED], lr=settings.rate, betas=BETAS, eps=EPSILON, fused=True
        )

    # --- a step -----------------------------------------------------------------------------------

    def train(self, x: torch.Tensor) -> StepResult:
        """One step on a batch x [token, d], as the activations are."""
        with torch.no_grad():
            result = self.loss_and_gradients(x)
            self._turn_to_sphere()
            self._clip()
            for group in self._adam.param_groups:
                group["lr"] = self.rate
            self._adam.step()
            self.W_dec.div_(self.W_dec.norm(dim=-1, keepdim=True))
        self.step += 1
        return result

    @property
    def rate(self) -> float:
        """Of the next step: up from 0, level, and down to 0."""
        settings = self.settings
        done = (self.step + 1) / settings.steps
        up = done / settings.warm_up if settings.warm_up else 1.0
        down = (1 - done + 1 / settings.steps) / settings.decay if settings.decay else 1.0
        return settings.rate * min(up, down, 1.0)

    @property
    def dead(self) -> torch.Tensor:
        """int64 [dead feature]: those that have been silent for too long."""
        limit = self.settings.dead_after * self.settings.steps * self.settings.batch
        return (self.silent > limit).nonzero()[:, 0]

    def loss_and_gradients(self, x: torch.Tensor) -> StepResult:
        """Gradients of the loss and of the auxiliary one go where Adam looks for them; features are counted."""
        x = x * self.scaling.factor
        inputs = x - self.b_dec
        before = torch.addmm(self.b_enc, inputs, self.W_enc.T)
        codes = self._choose(before)
        error = codes.decode(self.W_dec).sub_(inputs)  # s − x
        scale = 2 / (len(x) * self.scaling.variance * self.scaling.factor**2)
        gradient = error * scale
        towards = codes.dots(self.W_dec, gradient).mul_(codes.values > 0)
        by_feature = codes.by_feature()
        d_dec = by_feature.sums(codes.values, gradient)
        d_enc = by_feature.sums(towards, inputs)
        d_bias = torch.zeros_like(self.b_enc).index_add_(0, codes.features, towards)
        dead = self.dead
        if len(dead) and self.settings.auxiliary:
            self._add_auxiliary(before, inputs, error, dead, scale, (d_dec, d_enc, d_bias))
        self.W_dec.grad, self.W_enc.grad, self.b_enc.grad = d_dec, d_enc, d_bias
        # b_dec is added at the end and taken off at the beginning.
        self.b_dec.grad = gradient.sum(0) - d_bias @ self.W_enc
        self._count(codes, len(x))
        errors = float(error.square().sum(dtype=torch.float64 if x.device.type == "cpu" else None))
        active = int((codes.values > 0).sum())
        return StepResult(errors / self.scaling.factor**2, active, len(dead))

    def _choose(self, before: torch.Tensor) -> Codes:
        if self.settings.kind == "topk":
            return top_k(before, self.settings.k)
        return batch_top_k(before, self.settings.k, LIKELY * float(self.threshold))

    def _add_auxiliary(
        self,
        before: torch.Tensor,
        inputs: torch.Tensor,
        error: torch.Tensor,
        dead: torch.Tensor,
        scale: float,
        gradients: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> None:
        """Dead features reconstruct what the living leave: the d/2 of them that would fire most on each token."""
        most = max(1, inputs.shape[1] // 2)
        values = before[:, dead].relu_()
        if len(dead) > most:
            kept, places = values.topk(most, dim=-1, sorted=False)
            values = torch.zeros_like(values).scatter_(-1, places, kept)
        rows = self.W_dec[dead]
        # Few dead features get a small share, as they can explain little.
        weight = scale * self.settings.auxiliary * min(len(dead) / most, 1.0)
        gradient = torch.addmm(error, values, rows).mul_(weight)  # ê − (x − s)
        towards = (gradient @ rows.T).mul_(values > 0)
        d_dec, d_enc, d_bias = gradients
        d_dec[dead] += values.T @ gradient
        d_enc[dead] += towards.T @ inputs
        d_bias[dead] += towards.sum(0)

    def _count(self, codes: Codes, tokens: int) -> None:
        fires = codes.values > 0
        self.silent += tokens
        self.silent[codes.features[fires]] = 0
        if self.settings.kind == "batchtopk" and fires.any():
            smallest = codes.values[fires].min().double().cpu()
            rate = min(1.0, max(THRESHOLD_RATE, 1 / (THRESHOLD_MEMORY * self.settings.steps)))
            self.threshold = torch.lerp(self.threshold, smallest, rate if self.step else 1.0)

    def _turn_to_sphere(self) -> None:
        gradient = self.W_dec.grad
        assert gradient is not None
        gradient.addcmul_((gradient * self.W_dec).sum(-1, keepdim=True), self.W_dec, value=-1)

    def _clip(self) -> None:
        gradients = [gradient for name in MOVED if (gradient := getattr(self, name).grad) is not None]
        norm = float(torch.stack([gradient.norm() for gradient in gradients]).norm())
        if norm > CLIPPED:
            for gradient in gradients:
                gradient.mul_(CLIPPED / norm)

    # --- kept and finished ------------------------------------------------------------------------

    def state(self) -> dict[str, torch.Tensor]:
        """All that a training goes on from, on the CPU."""
        tensors = {name: getattr(self, name) for name in MOVED}
        tensors |= {"threshold": self.threshold, "silent": self.silent, "step": torch.tensor(self.step)}
        for name in MOVED:
            for key, value in self._adam.state[getattr(self, name)].items():
                tensors[f"{name}.{key}"] = value
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from `state`, to the same bits."""
        for name in MOVED:
            moved = getattr(self, name)
            moved.copy_(state[name])
            prefix = f"{name}."
            self._adam.state[moved] = {
                key.removeprefix(prefix): value.to(moved.device, copy=True)
                for key, value in state.items()
                if key.startswith(prefix)
            }
        self.threshold = state["threshold"].clone()
        self.silent.copy_(state["silent"])
        self.step = int(state["step"])

    def weights(self) -> dict[str, torch.Tensor]:
        """By SAELens' names, with the activations' scale folded in: decoder rows keep norm 1."""
        factor = self.scaling.factor
        tensors = {
            "W_enc": self.W_enc.T.contiguous(),
            "b_enc": self.b_enc / factor,
            "W_dec": self.W_dec.clone(),
            "b_dec": self.b_dec / factor,
        }
        if self.settings.kind == "batchtopk":
            tensors["threshold"] = torch.full_like(self.b_enc, float(self.threshold) / factor)
        return {name: tensor.detach().cpu() for name, tensor in tensors.items()}
