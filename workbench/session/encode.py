"""Views to what is stored, and back: JSON with references to arrays that are kept by their hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from workbench.errors import JSON_ERRORS, UserError
from workbench.session.format import DTYPES, MAX_ARRAY, MAX_JSON, MAX_VIEW_ARRAYS
from workbench.session.shapes import check_shapes
from workbench.views import AnyView, from_builtins, to_builtins, view_kind


class EncodedArray(msgspec.Struct, frozen=True):
    """An array as bytes in C order, little-endian."""

    hash: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview
    preview: str
    """the first numbers and the extent, for those who look with another tool"""


class EncodedView(msgspec.Struct, frozen=True, kw_only=True):
    """A view as its row: `spec` is JSON, arrays in it are {"$array": hash, "dtype", "shape"}."""

    key: str
    position: int
    kind: str
    title: str
    spec: bytes
    arrays: tuple[str, ...]
    """hashes of the arrays in `spec`"""


class EncodedViews(msgspec.Struct, frozen=True):
    """Some views of a step and the arrays they use."""

    views: list[EncodedView]
    arrays: dict[str, EncodedArray]


def encode_array(array: np.ndarray) -> EncodedArray:
    """Raises UserError for an array that is too large or not of numbers."""
    if array.dtype.name not in DTYPES:
        raise UserError(f"an array of {array.dtype.name} cannot be kept: numbers of 8 to 64 bits can")
    if array.nbytes > MAX_ARRAY:
        raise UserError(
            f"an array of {array.nbytes:,} bytes is too large to be kept in a session (limit {MAX_ARRAY:,})"
        )
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    data = memoryview(plain.reshape(-1).view(np.uint8).data) if plain.size else memoryview(b"")
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(data)
    return EncodedArray(digest.hexdigest(), array.dtype.name, tuple(array.shape), data, _preview(plain))


def _preview(array: np.ndarray) -> str:
    flat = array.reshape(-1)
    first = ", ".join(f"{value:.6g}" for value in flat[:8].tolist())
    if array.dtype == np.bool_ or not flat.size:
        return first
    finite = flat if array.dtype.kind != "f" else flat[np.isfinite(flat)]
    if not finite.size:
        return f"{first} (no finite number)"
    least, most, mean = finite.min(), finite.max(), finite.mean(dtype=np.float64)
    return f"{first}{', …' if flat.size > 8 else ''} (least {least:.6g}, most {most:.6g}, mean {mean:.6g})"


def encode_views(views: Mapping[str, AnyView], keys: set[str] | None = None) -> EncodedViews:
    """The views named by `keys` (all of them if None), at the positions they have in `views`.

    Raises UserError for what can't be kept.
    """
    encoded: list[EncodedView] = []
    arrays: dict[str, EncodedArray] = {}
    for position, (key, view) in enumerate(views.items()):
        if keys is not None and key not in keys:
            continue
        used: dict[str, EncodedArray] = {}

        def store(array: np.ndarray, used: dict[str, EncodedArray] = used) -> dict[str, Any]:
            encoded_array = encode_array(array)
            used[encoded_array.hash] = encoded_array
            return {"$array": encoded_array.hash, "dtype": encoded_array.dtype, "shape": encoded_array.shape}

        spec = msgspec.json.encode(to_builtins(view, store))
        if len(spec) > MAX_JSON or sum(len(array.data) for array in used.values()) > MAX_VIEW_ARRAYS:
            raise UserError(f"the view {view.title!r} is too large to be kept in a session")
        arrays.update(used)
        encoded.append(
            EncodedView(
                key=key, position=position, kind=view_kind(view), title=view.title, spec=spec, arrays=tuple(used)
            )
        )
    return EncodedViews(encoded, arrays)


def array_bytes(dtype: Any, shape: Any) -> int:
    """How many bytes an array of this type and shape has; raises UserError for one that is not ours."""
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UserError("it holds an array whose type is not a number")
    if (
        not isinstance(shape, list | tuple)
        or len(shape) > 8
        or not all(isinstance(length, int) and not isinstance(length, bool) and length >= 0 for length in shape)
    ):
        raise UserError("it holds an array without a proper shape")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MAX_ARRAY:
        raise UserError(f"it holds an array of {size:,} bytes, more than the {MAX_ARRAY:,} that are read")
    return size


def decode_view(spec: str, load: Callable[[str], np.ndarray]) -> AnyView:
    """A stored view with its arrays. Raises UserError for a spec that is damaged, or larger than any of ours.

    `load` gives an array by hash; its type and shape must be the ones the spec names.
    """
    loaded: dict[str, np.ndarray] = {}
    total = 0

    def resolve(reference: dict[str, Any]) -> np.ndarray:
        nonlocal total
        name = reference.get("$array")
        if not isinstance(name, str):
            raise UserError("it holds an array without a name")
        size = array_bytes(reference.get("dtype"), reference.get("shape"))
        if name not in loaded:
            total += size
            if total > MAX_VIEW_ARRAYS:
                raise UserError(f"its arrays hold more than the {MAX_VIEW_ARRAYS:,} bytes that are read")
            loaded[name] = load(name)
        array = loaded[name]
        if array.dtype.name != reference["dtype"] or list(array.shape) != list(reference["shape"]):
            raise UserError("an array has another shape than the view says")
        return array

    try:
        view: AnyView = from_builtins(msgspec.json.decode(spec), resolve)
        check_shapes(view)
    except UserError:
        raise
    except (*JSON_ERRORS, ValueError, TypeError) as error:
        cause = error.__cause__
        raise cause if isinstance(cause, UserError) else UserError(f"it is damaged: {error}") from None
    return view
