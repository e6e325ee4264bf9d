"""What a GPU would make the host wait for, counted by the line of ours that asks for it; no GPU is needed.

Whatever turns numbers on a device into numbers of the host waits until the device has them: so do results whose shape
depends on numbers, and what is put on the device from ordinary memory, unless it is sent along (`lab/sending.py`).
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

import workbench

ROOT = str(Path(workbench.__file__).parent)
TO_HOST = {"cpu", "tolist", "item", "__bool__", "__int__", "__float__", "__index__", "__contains__", "equal"}
SHAPE_BY_NUMBERS = {"nonzero", "argwhere", "masked_select", "bincount", "unique", "unique_consecutive", "histc"}


class Waits(TorchFunctionMode):
    """A context; `lines` counts the waits by file and line of workbench/."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _waits(getattr(func, "__name__", ""), args, kwargs):
            line = _our_line(sys._getframe(1))
            if line:
                self.lines[line] += 1
        return func(*args, **kwargs)

    @property
    def total(self) -> int:
        return sum(self.lines.values())


def _waits(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    if name in TO_HOST or name in SHAPE_BY_NUMBERS:
        return True
    if name in ("tensor", "as_tensor"):
        return kwargs.get("device") is not None
    if name == "to":
        to_device = any(isinstance(argument, torch.device | str) for argument in (*args[1:], *kwargs.values()))
        return to_device and "non_blocking" not in kwargs
    if name in ("__getitem__", "__setitem__"):
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in index)
    return False


def _our_line(frame: FrameType | None) -> str:
    """Where in workbench/ the call is; empty where a library's own code comes first."""
    while frame is not None and "/torch/" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(ROOT):
        return ""
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT)}:{frame.f_lineno}"
