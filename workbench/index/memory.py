"""What building an index takes: memory of its two parts, and disk.

`python -m tests.gpu.estimates` holds the memory against what is counted.
"""

from __future__ import annotations

from workbench.batch_memory import BYTES, layer_bytes
from workbench.index.format import BINS, SIGN_TOP, WINDOW, IndexSettings, Units
from workbench.index.writer import RECORD
from workbench.model_info import ModelInfo

SLAB = 1 << 26
"""activations that a GPU looks at together: two copies in float32 and one in their own type, 640 MB in bfloat16"""
PEAKS = {"cpu": 1 << 13, "other": 1 << 16}
"""entries of top lists whose rows are looked through at once"""
WAITING = {"cpu": 0, "other": 1 << 28}
"""bytes of windows that wait on the device for the block's end"""


def state_bytes(units: Units, settings: IndexSettings, n_features: int) -> int:
    """Bytes of the accumulators: memory, and disk for each of the two states that a checkpoint has at once."""
    per_unit = 2 * 4 * 8 + 40 + 4 * BINS + 12 * units.tails * settings.top + 16 * n_features + 80
    if units.gated:
        per_unit += 4 * 24 + 48 + 4 * SIGN_TOP * 12
    return per_unit * units.n


def disk_bytes(units: Units, settings: IndexSettings, n_features: int) -> int:
    """Bytes on disk at most: windows, two states, and the log between two checkpoints."""
    slots = units.tails * settings.top + (4 * SIGN_TOP if units.gated else 0)
    windows = slots * WINDOW * 2 * units.n
    return windows + 2 * state_bytes(units, settings, n_features) + slots * RECORD.itemsize * units.n


def block_bytes(units: Units, settings: IndexSettings, info: ModelInfo, rows: int, n_features: int) -> int:
    """Bytes of memory that a pass of `rows` windows takes beside the accumulators."""
    kind, wide = "cpu" if info.device == "cpu" else "other", BYTES[info.dtype]
    length, width = settings.context, units.width
    tokens = rows * length
    # What stays until the block ends: each row's sums, windows, token features.
    slots = (units.tails * settings.top + (SIGN_TOP * 4 if units.gated else 0)) * width
    windows = min(WAITING[kind], units.layers * slots * (2 * WINDOW + 8))
    kept = 4 * rows * units.n + windows + 4 * n_features * tokens
    # While a layer's activations are looked at: they and what they are made of, and the largest of two copies in
    # float32, the rows in which peaks are looked for, and the windows' copy as they are taken away.
    of_token = wide * (2 * width + 3 * info.d_model) + (8 * width // settings.sample if units.gated else 0)
    together = min(SLAB, tokens * width) if kind == "other" else length * width
    at_once = min(PEAKS[kind], slots) * length
    looked_at = tokens * of_token + max(together * (wide + 8), at_once * (wide + 8), windows)
    return kept + max(tokens * layer_bytes(wide, info.d_model, info.d_mlp, info.n_heads, length), looked_at)


def weights_bytes(info: ModelInfo) -> int:
    """Bytes of memory that the weights part takes beside the model: the largest of three steps, all in float32.

    The unembedding as it is made; it beside a layer's effective weights, in float64 on the way; and, for neighbours,
    one side of every neuron beside the cosines of two layers.
    """
    unembedding = 4 * info.d_vocab * info.d_model
    made = unembedding * (1 if info.dtype == "float32" else 2)
    layer = 4 * info.d_mlp * info.d_model
    neighbours = info.n_layers * layer + 2 * 4 * info.d_mlp**2
    return max(made, unembedding + 6 * layer, neighbours)
