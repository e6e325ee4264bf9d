"""What edits put in place of an activation where a number in their text does not say it.

Means and resamples come from the clean model on a fixed text of ours (`sample.txt`), position 0 of every window left
out; resamples draw one token of it for each position by seed, the same for all units, with or without a key-value
cache, in a batch or alone. Patches come from the clean model on another prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.directions.weights import JobWeights
from workbench.lab.forward import run_forward
from workbench.lab.loaded import Model
from workbench.lab.metrics import mean_float64
from workbench.lab.prompts import Prompt
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.strength import sample_prompts
from workbench.text import count
from workbench.units import Feature, Site

KEPT = 1 << 30
"""bytes of the fixed text's activations that are kept for the next edit"""
_DRAW = 0x5E5A
"""beside the job's seed, so that resamples share no draws with what else it seeds"""


class Values:
    """For one job: its seed draws the resamples, its prompt's template reads the other prompts."""

    def __init__(self, model: Model, seed: int, chat: bool, weights: JobWeights) -> None:
        self._model = model
        self._weights = weights
        self._seed = seed
        self._chat = chat
        self._patched: dict[tuple[str, Site], torch.Tensor] = {}

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self._model.hf.device

    def direction(self, name: str) -> torch.Tensor:
        """`@name` as stored, float32 [d_model], on the model's device."""
        return torch.from_numpy(self._weights.direction(name)).to(self.device)

    def sae(self, unit: Feature) -> PlacedSae:
        """The SAE that a feature is of. Raises UserError."""
        return self._weights.sae(unit)

    def check(self, label: str, amount: float) -> None:
        """Raises UserError for a number that the model's own type cannot hold."""
        dtype = self._model.hf.dtype
        limit = torch.finfo(dtype).max
        if not abs(amount) <= limit:
            name = str(dtype).removeprefix("torch.")
            raise UserError(f"{label} is beyond what {name} can hold (±{limit:.1e}): take a smaller number")

    def mean(self, site: Site) -> torch.Tensor:
        """The site's mean over the fixed text, in float64, rounded to float32 [width]."""
        return mean_float64(self.sample(site), 0).float().to(self._model.hf.device)

    def resampled(self, site: Site) -> torch.Tensor:
        """The site at one token of the fixed text for each position of the context, [n_ctx, width]."""
        sample = self.sample(site)
        random = np.random.default_rng([_DRAW, self._seed])
        drawn = random.integers(0, len(sample), self._model.info.n_ctx)
        return sample[torch.from_numpy(drawn).to(sample.device)]

    def patched(self, site: Site, text: str) -> torch.Tensor:
        """The site over another prompt, [position, width]."""
        if (text, site) not in self._patched:
            prompt = self._model.tokens.prompt(text, self._chat)
            self._patched[text, site] = self._capture(prompt, [site])[site]
        return self._patched[text, site]

    def prepare(self, sites: Sequence[Site]) -> None:
        """Measures these sites on the fixed text in one go, where they are not known yet."""
        sampled = self._model.sampled
        missing = [site for site in dict.fromkeys(sites) if site not in sampled]
        if not missing:
            return
        parts_by_site: dict[Site, list[torch.Tensor]] = {site: [] for site in missing}
        for prompt in sample_prompts(self._model):
            for site, activation in self._capture(prompt, missing).items():
                parts_by_site[site].append(activation[1:].clone())
        room = KEPT - sum(tensor.nbytes for tensor in sampled.values())
        for site, parts in parts_by_site.items():
            sampled[site] = torch.cat(parts)
            room -= sampled[site].nbytes
        if room < 0:
            for site in [site for site in sampled if site not in sites]:
                del sampled[site]

    @property
    def remark(self) -> str:
        """Where means and resamples come from, as a sentence for the log."""
        n = sum(len(prompt) - 1 for prompt in sample_prompts(self._model))
        return f"means and resamples: {count(n)} tokens of the workbench's own sample text, seed {self._seed}"

    def sample(self, site: Site) -> torch.Tensor:
        """The site over the fixed text, float32 [token, width]."""
        self.prepare([site])
        return self._model.sampled[site]

    def _capture(self, prompt: Prompt, sites: Sequence[Site]) -> dict[Site, torch.Tensor]:
        """[position, width] each; heads side by side."""
        model = self._model
        forward = run_forward(model, [prompt], capture=sites, keep=None)
        return {site: tensor[0].reshape(len(prompt), -1).float() for site, tensor in forward.captured.items()}
