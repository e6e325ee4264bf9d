"""What the campaign makes and looks at: steps and artifacts whose content follows from a number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from tests.session.conftest import INFO
from workbench.artifacts import Artifact, list_artifacts
from workbench.artifacts._folder import list_folders, write_folder
from workbench.artifacts.data_set import content_of, keep_set, read_data
from workbench.artifacts.direction import Direction, directions_dir, read_direction, write_direction
from workbench.artifacts.probe import Probe, Reading
from workbench.artifacts.sae import read_config as read_sae_config
from workbench.artifacts.sae import register, saes_dir, stored_config
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.drawing import draw
from workbench.files import write_whole
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.views import Lines, Series

BLOCKS = 40
BLOCK = 4096
SAE_CONFIG = {
    "architecture": "standard",
    "d_in": 4,
    "d_sae": 8,
    "dtype": "float32",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "metadata": {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post"},
}


def numbers(of: int, size: int = 300) -> np.ndarray:
    """float32 [size], never all zero"""
    return np.random.default_rng(of).normal(size=size).astype(np.float32)


# --- steps -------------------------------------------------------------------------------------------------


def write_step(writer: SessionWriter, size: int = 300) -> int:
    """A step from its row to its end, with a view, a direction and a probe that it made; its number."""
    step = writer.add_step("predict", {"prompt": "x"})
    writer.start(step, INFO)
    y = numbers(step, size)
    lines = Lines(title="y", x=np.arange(size), series=[Series(name="y", y=y)], x_label="", y_label="")
    writer.publish(step, headline=f"step {step}", views={"y": lines})
    writer.keep_artifact(Direction(name=f"d{step}", vector=numbers(step, 4).tobytes()).use)
    writer.finish(step, "done")
    return step


def check_step(reader: SessionReader, step: int, size: int = 300) -> None:
    """It is done, and holds what `write_step` wrote, bit for bit."""
    row = reader.row(step)
    assert row is not None and (row.status, row.headline) == ("done", f"step {step}"), f"step {step} is lost: {row}"
    (view,) = reader.views(step)
    loaded = reader.load_view(view)
    assert isinstance(loaded, Lines)
    assert np.array_equal(loaded.series[0].y, numbers(step, size)), f"step {step} has other numbers"
    assert reader.content(Direction(name="", vector=numbers(step, 4).tobytes()).hash)


def look_at(path: Path) -> None:
    """Everything that fronts read and draw of a session. Raises UserError."""
    with SessionReader(path) as reader:
        reader.title, reader.count(), reader.notes(), reader.pins(), reader.model(), reader.stacks()
        for artifact in reader.artifacts():
            reader.content(artifact.hash)
        for row in reader.rows():
            reader.step(row.id)
            for view in reader.views(row.id):
                draw(reader.load_view(view), 80)


# --- artifacts ---------------------------------------------------------------------------------------------


def labelled(of: int) -> LabelledSet:
    texts = [LabelledText(text=f"text {of} {at}", spans=[Span(0, 4, float(at % 2))]) for at in range(20)]
    return LabelledSet(name=f"s{of}", texts=texts)


def write_sae_files(folder: Path, of: int) -> None:
    (folder / "cfg.json").write_text(json.dumps(SAE_CONFIG))
    tensors = {"W_enc": numbers(of, 32).reshape(4, 8), "W_dec": numbers(of + 1, 32).reshape(8, 4)}
    tensors |= {"b_enc": numbers(of + 2, 8), "b_dec": numbers(of + 3, 4)}
    (folder / "sae_weights.safetensors").write_bytes(save(tensors))


SAE_SHAPES = {"W_enc": (4, 8), "W_dec": (8, 4), "b_enc": (8,), "b_dec": (4,)}


def write_artifacts(of: int) -> None:
    """A data set, a direction and an SAE, all named by the number. Raises UserError."""
    keep_set(labelled(of), f"s{of}")
    write_direction(Direction(name=f"d{of}", vector=numbers(of, 4).tobytes()), directions_dir() / f"d{of}.safetensors")
    register(f"sae-{of}", read_sae_config(SAE_CONFIG, "made", SAE_SHAPES), lambda folder: write_sae_files(folder, of))


def check_artifacts(of: int) -> None:
    """They are whole, and what was written."""
    assert content_of(read_data(f"@s{of}")).hash == content_of(labelled(of)).hash, f"data set {of}"
    assert np.array_equal(read_direction(f"d{of}").numbers, numbers(of, 4)), f"direction {of}"
    stored_config(saes_dir() / f"sae-{of}")


def check_listed() -> None:
    """What is listed is whole, whoever was killed meanwhile."""
    for artifact in list_artifacts():
        assert not artifact.problem, artifact.problem


def whole_slowly(root: Path) -> Artifact:
    """A folder in forty blocks, as a store or a training makes it: a build that was killed goes on where it was."""
    for artifact in list_folders(root, "made"):
        return artifact
    return write_folder(root, Artifact(kind="made", name="slow", hash=""), _blocks, resumable=True)


def _blocks(folder: Path) -> None:
    done_file, data_file = folder / "done", folder / "data"
    done = int(done_file.read_text()) if done_file.exists() else 0
    for block in range(done, BLOCKS):
        with open(data_file, "r+b" if data_file.exists() else "wb") as stream:
            stream.seek(block * BLOCK)
            stream.write(numbers(block, BLOCK // 4).tobytes())
        write_whole(done_file, str(block + 1).encode())


def check_slow(made: Artifact) -> None:
    data = b"".join(numbers(block, BLOCK // 4).tobytes() for block in range(BLOCKS))
    assert (Path(made.path) / "data").read_bytes() == data, "what went on has other bits"


def some_probe() -> Probe:
    reading = Reading(
        site="mlp_post", layer=1, indices=(1, 2), intercept=0.5, threshold=0.0, pooling="token", classes=("a", "b"),
        data_set="s", set_hash="0" * 64, method="logistic", model="tiny", fingerprint="",
    )  # fmt: skip
    return Probe(reading=reading, weights=np.ones(2), mean=np.zeros(2), sd=np.ones(2))
