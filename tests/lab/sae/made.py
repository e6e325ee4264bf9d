"""SAEs that explain a tiny model's stream by construction: two features for each of some principal axes, one a sign."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from tests.lab.labs import source_of
from tests.tiny import tiny_model
from workbench.artifacts.sae import SaeConfig, default_name, register
from workbench.lab.directions.weights import JobWeights
from workbench.lab.model import Lab, load_lab
from workbench.lab.sae import make_sae, write_sae
from workbench.lab.sae.sae import SAE
from workbench.lab.values import Values
from workbench.units import HOOKS, Site

STREAM = Site(1, "resid_post")
SILENT = 400
"""features that never fire"""


@cache
def loud_lab(arch: str) -> Lab:
    """A tiny model whose stream has a large constant part, as real ones have; no logit depends on it."""
    import transformers

    root = Path(tempfile.mkdtemp(prefix="wb-loud-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    folder = tiny_model(arch, root / arch)
    hf = transformers.AutoModelForCausalLM.from_pretrained(folder)
    constant = torch.randn(32, generator=torch.Generator().manual_seed(4)) + 1
    with torch.no_grad():
        hf.get_input_embeddings().weight.add_(5 * constant)
    hf.save_pretrained(folder)
    return load_lab(source_of(folder), device="cpu", dtype="float32")


def sample(lab: Lab, site: Site) -> torch.Tensor:
    """[token, width] of the fixed text."""
    return Values(lab.model, 0, False, JobWeights(lab.model, {})).sample(site).cpu()


def axes_of(lab: Lab, site: Site, n: int, centred: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """The first n principal axes [n, width] of a site, and its mean."""
    x = sample(lab, site).double()
    if centred:
        x = x - x.mean(-1, keepdim=True)
    mean = x.mean(0)
    return torch.linalg.svd(x - mean, full_matrices=False).Vh[:n].float(), mean.float()


def made_sae(lab: Lab, site: Site = STREAM, n: int = 24, centred: bool = False, **config: Any) -> SAE:
    """Encodes ±axis, subtracts the mean as b_dec; SILENT more features have a bias that nothing overcomes."""
    axes, mean = axes_of(lab, site, n, centred)
    width = axes.shape[1]
    signed = torch.cat([axes, -axes, torch.zeros(SILENT, width)])
    signed[2 * n :, 0] = 1
    bias = torch.zeros(len(signed))
    bias[2 * n :] = -1e6
    hook = HOOKS[site.name]
    made = SaeConfig(
        **{
            "kind": "standard",
            "d_in": width,
            "d_sae": len(signed),
            "d_out": width,
            "subtracts_b_dec": True,
            "hook": f"blocks.{site.layer}.{hook}",
            "flattens_heads": site.name == "z",
            "model": lab.info.name,
            "centred": centred,
            **config,
        }
    )
    tensors = {"W_enc": signed.T.contiguous(), "b_enc": bias, "W_dec": signed.clone(), "b_dec": mean}
    return make_sae(made, tensors)


def keep(sae: SAE, name: str = "") -> str:
    """Registered in the test's data folder, under its name."""

    def write(folder: Path) -> None:
        write_sae(sae, folder)

    return register(name or default_name(sae.config), sae.config, write).name
