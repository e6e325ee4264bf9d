"""A tiny model with neurons that know places: one alone, three that share them, one that fires at everything."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

from tests.experiments.test_sparse_probe import OTHERS, PLACES, labelled
from tests.lab.labs import source_of
from tests.lab.plain import Plain
from tests.lab.planted import Planted
from workbench.lab.model import Lab, load_lab

LAYER = 1
ALONE, SHARED, BOTH = 7, (11, 12, 13), 20
"""indices in LAYER: only at places; two of the places each; at every labelled word"""
TWO = 25
"""at places, and as much at two of the other words; in no model where it is not asked for"""
EVERY = (ALONE, *SHARED, BOTH)
STRENGTH = 12.0


@cache
def planted_folder(only: tuple[int, ...] = EVERY, layers: int = 3) -> Path:
    root = Path(tempfile.mkdtemp(prefix="wb-places-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    planted = Planted(num_hidden_layers=layers)
    words = [text.text.rsplit(" ", 1)[1] for text in labelled().texts]
    if ALONE in only:
        _plant(planted, [(ALONE, [word in PLACES for word in words])], words)
    shared = [(index, [word in PLACES[2 * at : 2 * at + 2] for word in words]) for at, index in enumerate(SHARED)]
    if set(SHARED) <= set(only):
        _plant(planted, shared, words)
    if BOTH in only:
        # Half as strong: it is one of the first one's matched neurons, and must do less.
        _plant(planted, [(BOTH, [True] * len(words))], words, STRENGTH / 2)
    if TWO in only:
        _plant(planted, [(TWO, [word in (*PLACES, *OTHERS[:2]) for word in words])], words)
    if only != EVERY:
        _silence(planted, only)
    return planted.save(root / "places")


def _plant(planted: Planted, fires: list[tuple[int, list[bool]]], words: list[str], strength: float = STRENGTH) -> None:
    """Neurons that are about 6 where they fire and 0 elsewhere, by least squares on what the MLP reads there."""
    assert set(words) == {*PLACES, *OTHERS}
    mlp = planted.model.model.layers[LAYER].mlp
    tokenizer = planted_tokenizer()
    seen, ids = [], planted.ids
    for text in labelled().texts:
        planted.ids = torch.tensor([tokenizer(text.text)["input_ids"]])
        seen.append(planted.read(mlp)[-1])
    planted.ids = ids
    inverse = torch.linalg.pinv(torch.stack(seen).double(), rtol=1e-5)
    for index, on in fires:
        there = torch.tensor(on, dtype=torch.float64)
        with torch.no_grad():
            mlp.gate_proj.weight[index] = (inverse @ (18 * there - 12)).float()
            mlp.up_proj.weight[index] = (inverse @ there).float()
            mlp.down_proj.weight[:, index] = strength / 6 * planted.toward


def _silence(planted: Planted, but: tuple[int, ...]) -> None:
    for number, layer in enumerate(planted.model.model.layers):
        kept = but if number == LAYER else ()
        with torch.no_grad():
            off = [index for index in range(len(layer.mlp.gate_proj.weight)) if index not in kept]
            layer.mlp.gate_proj.weight[off] = 0


def planted_tokenizer():
    from tests.tiny import tiny_tokenizer

    return tiny_tokenizer()


@cache
def planted_lab(only: tuple[int, ...] = EVERY, layers: int = 3) -> Lab:
    """With these of the neurons (SHARED all or none); where these are not EVERY, all others are 0 everywhere."""
    return load_lab(source_of(planted_folder(only, layers)), device="cpu", dtype="float32")


@cache
def planted_plain() -> Plain:
    return Plain(planted_folder())
