"""The shared prefix: numbers equal plain hooks on the Hugging Face model, whatever the site and the architecture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.lab.labs import EVERY, plain, tiny_lab
from workbench.lab.sae.suffix import at_last_position, clean_pass
from workbench.units import Site

SITES = [Site(0, "resid_pre"), Site(1, "resid_post"), Site(2, "resid_post"), Site(1, "mlp_out"), Site(1, "z")]


def rows(arch: str) -> torch.Tensor:
    text = "The capital of France is Paris. The capital of Germany is Berlin."
    ids = torch.from_numpy(tiny_lab(arch).prompt(text).ids[:10])
    return torch.stack([ids, ids.flip(0)])


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("site", SITES, ids=str)
def test_a_substitution_equals_a_plain_hook(arch: str, site: Site) -> None:
    lab, ids = tiny_lab(arch), rows(arch)
    clean = clean_pass(lab.model, ids, [site])
    noise = torch.randn(clean.at(site).shape, generator=torch.Generator().manual_seed(0))
    values = clean.at(site) + noise
    expected = plain(arch).logits(ids, [(site.layer, site.name, lambda activation: values.view(activation.shape))])
    torch.testing.assert_close(clean.with_site(site, values), expected, rtol=1e-4, atol=1e-4)
    assert lab.hooks_installed() == 0


@pytest.mark.parametrize("caches", [True, False])
@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("site", SITES, ids=str)
def test_the_last_position_alone_equals_a_plain_hook(arch: str, site: Site, caches: bool) -> None:
    lab, ids = tiny_lab(arch), rows(arch)[:1]
    model = replace(lab.model, caches=caches)
    clean = clean_pass(model, ids, [site])
    values = clean.at(site)[0, -1] + torch.randn(
        3, clean.at(site).shape[-1], generator=torch.Generator().manual_seed(0)
    )
    found = at_last_position(clean, site, values)
    for row, value in zip(found, values, strict=True):

        def hook(activation: torch.Tensor, value: torch.Tensor = value) -> torch.Tensor:
            edited = activation.clone()
            edited[:, -1] = value.view(edited[:, -1].shape)
            return edited

        expected = plain(arch).logits(ids, [(site.layer, site.name, hook)])[0, -1]
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)


def test_models_that_cannot_begin_in_the_middle_get_whole_passes() -> None:
    lab, ids = tiny_lab("llama"), rows("llama")
    site = Site(1, "resid_post")
    clean = clean_pass(replace(lab.model, restarts=False), ids, [site])
    values = clean.at(site) * 1.5
    expected = clean_pass(lab.model, ids, [site]).with_site(site, values)
    torch.testing.assert_close(clean.with_site(site, values), expected, rtol=1e-4, atol=1e-4)


def test_blocks_before_the_site_run_once() -> None:
    lab, ids = tiny_lab("llama"), rows("llama")
    calls = []
    product = next(part for part in lab.model.bridge.blocks[0].modules() if isinstance(part, torch.nn.Linear))
    handle = product.register_forward_hook(lambda *_: calls.append(1))
    try:
        clean = clean_pass(lab.model, ids, [Site(1, "resid_post")])
        for _ in range(5):
            clean.with_site(Site(1, "resid_post"), clean.at(Site(1, "resid_post")))
    finally:
        handle.remove()
    assert len(calls) == 1
