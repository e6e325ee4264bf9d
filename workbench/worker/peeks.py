"""A peek's answer as views. Arrays travel as {"dtype", "shape", "data"}, the bytes in base64."""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec
import numpy as np

from workbench.errors import UserError
from workbench.views import AnyView, from_builtins
from workbench.worker.protocol import PeekAnswer


def peek_views(answer: PeekAnswer) -> list[AnyView]:
    """The answer's views, the main one first. Raises UserError for the answer's error, and for what is no view."""
    if answer.error:
        raise UserError(answer.error)
    try:
        return [from_builtins(spec, _array) for spec in answer.views]
    except (msgspec.ValidationError, ValueError, TypeError) as problem:
        raise UserError(f"the worker's answer cannot be read: {problem}") from None


def _array(data: dict[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(data["dtype"]), [int(length) for length in data["shape"]]
    raw = data["data"]
    raw = base64.b64decode(raw) if isinstance(raw, str) else raw
    if dtype.kind not in "biuf" or len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError("an array's size is not what it says")
    return np.frombuffer(raw, dtype).reshape(shape)
