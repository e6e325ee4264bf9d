"""What is decided between finding a model and loading it: device, numbers, and whether it fits."""

from __future__ import annotations

import msgspec

from workbench.lab.device import check_config_dtypes, pick_devices, pick_dtype, spare_gpus, why_not_gpu
from workbench.lab.finding.checkpoint import Checkpoint, read_checkpoint
from workbench.lab.finding.source import ModelSource
from workbench.lab.memory import Need, check_fits, check_spread, fits
from workbench.model_info import LayersOn


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model is going to be loaded."""

    device: str
    """cpu, mps or cuda:N"""
    spread: tuple[LayersOn, ...] = ()
    """which layers are going to lie where; empty where all lie on `device`"""
    dtype: str
    """float32, bfloat16 or float16"""
    need: Need
    checkpoint: Checkpoint
    remark: str = ""
    """why it is not on the GPU that there is; empty where nothing has to be said"""


def place(source: ModelSource, device: str = "auto", dtype: str = "auto") -> Placement:
    """Choose device and dtype for `source`. Raises UserError where they can't be had, or the model does not fit.

    A model that `auto` can't put on one GPU is spread over those that there are.
    """
    checkpoint = read_checkpoint(source.path)
    check_config_dtypes(checkpoint)
    first, *others = pick_devices(device)
    chosen_dtype = pick_dtype(dtype, first, checkpoint)
    if device.strip().lower() == "auto" and not fits(checkpoint, first, chosen_dtype):
        others = spare_gpus(first)
    spread: tuple[LayersOn, ...] = ()
    if others:
        need, spread = check_spread(checkpoint, [first, *others], chosen_dtype)
    else:
        need = check_fits(checkpoint, first, chosen_dtype)
    remark = why_not_gpu(device, first)
    return Placement(device=first, spread=spread, dtype=chosen_dtype, need=need, checkpoint=checkpoint, remark=remark)
