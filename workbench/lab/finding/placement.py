"""What is decided between finding a model and loading it: device, numbers, and whether it fits."""

from __future__ import annotations

import msgspec

from workbench.lab.device import check_config_dtypes, pick_device, pick_dtype, why_not_gpu
from workbench.lab.finding.checkpoint import Checkpoint, read_checkpoint
from workbench.lab.finding.source import ModelSource
from workbench.lab.memory import Need, check_fits


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model is going to be loaded."""

    device: str
    """cpu, mps or cuda:N"""
    dtype: str
    """float32, bfloat16 or float16"""
    need: Need
    checkpoint: Checkpoint
    remark: str = ""
    """why it is not on the GPU that there is; empty where nothing has to be said"""


def place(source: ModelSource, device: str = "auto", dtype: str = "auto") -> Placement:
    """Choose device and dtype for `source`. Raises UserError where they can't be had, or the model does not fit."""
    checkpoint = read_checkpoint(source.path)
    check_config_dtypes(checkpoint)
    chosen_device = pick_device(device)
    chosen_dtype = pick_dtype(dtype, chosen_device, checkpoint)
    need = check_fits(checkpoint, chosen_device, chosen_dtype)
    remark = why_not_gpu(device, chosen_device)
    return Placement(device=chosen_device, dtype=chosen_dtype, need=need, checkpoint=checkpoint, remark=remark)
