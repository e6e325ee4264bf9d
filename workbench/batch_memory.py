"""What a batch takes of memory, from the model's shape alone: how many rows go together, and what is said before a run.

No torch: the screens, the shell and the lab say the same. `python -m tests.gpu.estimates` holds it against what is
counted.
"""

from __future__ import annotations

from typing import Literal

from workbench.model_info import ModelInfo

Work = Literal["clean", "forward", "last", "stream", "gradients", "generation", "index"]
"""what a batch is for: logits at every position, of one pass; of a clean pass and one under edits; those at the last
position, of many edits of one prompt; the stream at every block's input; gradients; tokens that are generated; a block
of an index"""

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
TOKENS: dict[Work, tuple[int, int]] = {
    "clean": (256, 16384),
    "forward": (256, 16384),
    "last": (640, 16384),
    "stream": (640, 16384),
    "gradients": (160, 4096),
    "generation": (16384, 16384),
    "index": (512, 16384),
}
"""tokens of a batch that takes about a second or less, on a CPU (small batches are nearly free there) and elsewhere"""
GENERATED_ROWS = (16, 256)
"""rows that are generated together at most: what a step reads of the weights is read once for all of them"""
SHARE = 0.5
"""of the free memory that a batch may take"""
OWN_TYPE = ("GPT2LMHeadModel", "GPTNeoXForCausalLM")
"""classes of models whose attention has its softmax in the model's type; others have it in float32"""
ROWS = 64
"""positions whose logits are taken to float32 at a time: a block of [64, vocabulary] stays near the processor"""


def tokens_at_once(device: str, work: Work) -> int:
    """Tokens of a batch of about a second, whatever the memory."""
    return TOKENS[work][device != "cpu"]


def rows_fitting(info: ModelInfo, length: int, work: Work, free: int) -> int:
    """How many rows of `length` tokens go through the model together: by time, and by the `free` bytes."""
    limit = max(1, tokens_at_once(info.device, work) // max(1, length))
    if work == "generation":
        limit = min(limit, GENERATED_ROWS[info.device != "cpu"])
    fits = int(SHARE * free) // batch_bytes(info, 1, length, work)
    # Where memory is the limit, powers of two: a little more or less of it gives the same shapes, and the same bits.
    return limit if fits >= limit else 1 << max(0, fits.bit_length() - 1)


def batch_bytes(info: ModelInfo, rows: int, length: int, work: Work) -> int:
    """Bytes that a batch of `rows` of `length` tokens takes."""
    return max(1, rows) * max(1, length) * token_bytes(info, length, work)


def token_bytes(info: ModelInfo, length: int, work: Work) -> int:
    """Bytes that a token takes while a batch of rows of `length` tokens goes through.

    "forward" compares a clean pass with one under edits, "stream" keeps every block's input, gradients what every layer
    needs on the way back, generation the keys and values of every layer.
    """
    wide = BYTES[info.dtype]
    inside = layer_bytes(wide, info.d_model, info.d_mlp, info.n_heads, length)
    match work:
        case "clean":
            return read_bytes(wide, info.d_model, info.d_mlp, info.n_heads, info.d_vocab, length)
        case "forward":
            return compared_bytes(wide, info.d_model, info.d_mlp, info.n_heads, info.d_vocab, length)
        case "stream":
            return inside + wide * info.n_layers * info.d_model
        case "generation":
            kept = wide * 2 * info.n_layers * info.n_kv_heads * info.d_head
            return kept + max(inside, wide * info.d_vocab)
        case "gradients":
            probabilities = wide if wide == 4 or info.architecture in OWN_TYPE else wide + 4
            mlp = (4 if info.gated_mlp else 2) * info.d_mlp
            # Parallel blocks have one stream to read, and norms that keep nothing of their own.
            stream = (6 if info.parallel_blocks else 11) * info.d_model
            return inside + info.n_layers * (wide * (stream + mlp) + probabilities * info.n_heads * length)
        case _:
            return inside


def layer_bytes(wide: int, d_model: int, d_mlp: int, n_heads: int, length: int) -> int:
    """Bytes of a token while a layer runs, numbers being `wide` bytes, in prompts of `length` tokens: the larger of
    attention with its patterns, whose softmax is in float32, and the MLP."""
    attention = wide * 9 * d_model + n_heads * length * (10 if wide < 4 else 8)
    return max(attention, wide * (3 * d_mlp + 4 * d_model))


def read_bytes(wide: int, d_model: int, d_mlp: int, n_heads: int, d_vocab: int, length: int) -> int:
    """Bytes of a token where one pass is read at every position: the logits, which ROWS positions of all prompts
    take twice in float32."""
    logits = wide * d_vocab
    in_blocks = 8 * d_vocab * min(length, ROWS) // max(1, length)
    return max(layer_bytes(wide, d_model, d_mlp, n_heads, length), logits + in_blocks)


def compared_bytes(wide: int, d_model: int, d_mlp: int, n_heads: int, d_vocab: int, length: int) -> int:
    """Bytes of a token where a clean pass and one under edits are compared at every position.

    Both leave logits; while the second one's layers run the first one's are there.
    """
    logits = wide * d_vocab
    in_layers = layer_bytes(wide, d_model, d_mlp, n_heads, length) + logits
    return max(in_layers, logits + read_bytes(wide, d_model, d_mlp, n_heads, d_vocab, length))
