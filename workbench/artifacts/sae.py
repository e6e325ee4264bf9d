"""Sparse autoencoders: folders of the user's data folder in SAELens' format, whatever format they came in.

A folder has `cfg.json` and `sae_weights.safetensors`, which SAELens' own loader reads, and its hash is that of both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench import paths
from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._folder import is_unfinished, list_folders, prune_folders, remove_folder, write_folder
from workbench.artifacts._sae_config import ARCHITECTURES as ARCHITECTURES
from workbench.artifacts._sae_config import CENTRED_SITES as CENTRED_SITES
from workbench.artifacts._sae_config import SaeConfig as SaeConfig
from workbench.artifacts._sae_config import SaeKind as SaeKind
from workbench.artifacts._sae_config import hook_of as hook_of
from workbench.artifacts._sae_config import read_config as read_config
from workbench.artifacts._sae_config import rescales_by_decoder_norm as rescales_by_decoder_norm
from workbench.artifacts._sae_config import scale_of as scale_of
from workbench.artifacts._sae_config import site_of as site_of
from workbench.artifacts._sae_config import written_config as written_config
from workbench.errors import UserError
from workbench.text import count, quoted, safe

NAME = "SAE"
CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
NAME_PATTERN = r"\w(?:[\w.-]*\w)?"
LONGEST_NAME = 100
"""characters: names are folders, and stand in lists"""
EVERY = "all"
"""in place of a name: every SAE that fits the model"""
_NAME = re.compile(NAME_PATTERN)


def saes_dir() -> Path:
    """Where they are registered."""
    return paths.data_dir() / "saes"


def check_name(name: str) -> str:
    """A name that lists, units and commands can take, without `@`. Raises UserError."""
    bare = name.strip().removeprefix("@")
    if not _NAME.fullmatch(bare):
        raise UserError(f"{quoted(name)} is no name for an SAE: letters, digits, _ . and - in between, like res-10")
    if bare == EVERY:
        raise UserError(f"{quoted(name)} stands for every SAE: give this one another name")
    if len(bare.encode()) > LONGEST_NAME:
        raise UserError(f"the name has {len(bare.encode())} bytes: {LONGEST_NAME} are the most")
    return bare


def check_free(name: str) -> str:
    """A name that a new one can take. Raises UserError."""
    bare = check_name(name)
    if (saes_dir() / bare).exists():
        raise UserError(
            f"there is an SAE {bare!r} already: choose another name, or remove it (workbench sae rm {bare})"
        )
    return bare


def default_name(config: SaeConfig) -> str:
    """What one is called that gets no name: `gpt2-small-L8-resid_pre-24576`."""
    model = config.model.rpartition("/")[2]
    words = [model, *(config.site or config.hook).split("."), str(config.d_sae)]
    if config.is_transcoder:
        words.append("transcoder")
    return re.sub(r"[^\w.]+", "-", "-".join(filter(None, words))).strip("-.") or "sae"


def register(
    name: str,
    config: SaeConfig,
    write: Callable[[Path], None],
    *,
    fingerprint: str = "",
    session: str = "",
    step: int | None = None,
    resumable: bool = False,
) -> Artifact:
    """A new one under its name; `write` puts the two files into an empty folder.

    Raises UserError where the name is taken, and what `write` raises; then nothing is left, or, where it is
    `resumable`, what `write` finds in its folder next time.
    """
    artifact = Artifact(
        kind=NAME,
        name=check_name(name),
        hash="",
        model=config.model,
        fingerprint=fingerprint,
        session=session,
        step=step,
    )
    return write_folder(saes_dir(), artifact, write, resumable)


def list_saes() -> list[Artifact]:
    """All that are registered, newest first."""
    return list_folders(saes_dir(), NAME)


def find_sae(name: str) -> Artifact:
    """A registered one by its name; where there is a single one, the empty name is its. Raises UserError."""
    listed = list_saes()
    bare = name.strip().removeprefix("@")
    names = ", ".join(artifact.name for artifact in listed)
    matches = [artifact for artifact in listed if artifact.name == bare] if bare else listed
    if len(matches) == 1:
        if matches[0].problem:
            raise UserError(matches[0].problem)
        return matches[0]
    if not listed:
        raise UserError("no SAE is registered yet: workbench sae add FOLDER|ORG/NAME/PATH reads one")
    if bare:
        raise UserError(f"there is no SAE {quoted(bare)}: there are {names}")
    raise UserError(f"which SAE? There are {names}")


def stored_config(folder: Path) -> tuple[SaeConfig, str]:
    """What a registered one is, and where it was read from. Raises UserError where its folder is damaged."""
    raw = read_json(folder / CONFIG, folder.name)
    metadata = raw.get("metadata")
    source = metadata.get("workbench_source", "") if isinstance(metadata, dict) else ""
    return read_config(raw, folder.name, weight_shapes(folder / WEIGHTS, folder.name)), str(source)


def training_corpus(folder: Path) -> str:
    """What a registered one was trained on, as `--corpus` takes it; empty where its folder does not say.

    Raises UserError where the folder is damaged.
    """
    metadata = read_json(folder / CONFIG, folder.name).get("metadata")
    training = metadata.get("workbench_training") if isinstance(metadata, dict) else None
    corpus = training.get("corpus") if isinstance(training, dict) else None
    return corpus if isinstance(corpus, str) else ""


def read_json(file: Path, source: str) -> dict[str, Any]:
    """An object of settings. Raises UserError for what is none."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{source}: {file.name} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{source}: {file.name} is not JSON") from None
    if not isinstance(raw, dict):
        raise UserError(f"{source}: {file.name} holds no object of settings: it is not SAELens' configuration")
    return raw


def weight_shapes(file: Path, source: str) -> dict[str, tuple[int, ...]]:
    """Of a safetensors file's tensors, without reading them. Raises UserError for what is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{source}: {file.name} can't be read as safetensors: {error}") from None


def content_of(artifact: Artifact) -> Content:
    """What a step remembers of one: its name then, and its hash."""
    return Content(kind=NAME, spec={"folder": artifact.path, "hash": artifact.hash}, fingerprint=artifact.fingerprint)


def config_facts(config: SaeConfig) -> Facts:
    """What a user has to know of one before it is used."""
    inputs: str = "as it is" if config.normalisation == "none" else config.normalisation
    if config.unscaled:
        inputs = "scaled to a mean norm of √d_in, by a factor that its folder does not say"
    processing = [
        *(["centred writing weights"] if config.centred else []),
        *(["value biases folded"] if config.folded_value_biases else []),
        *(["heads flattened"] if config.flattens_heads else []),
    ]
    facts = [
        ("what", config.describe),
        ("read at", config.site or config.hook),
        ("written at", config.site_out if config.is_transcoder else ""),
        ("trained on", config.model),
        ("input", inputs),
        ("b_dec", "taken off before encoding" if config.subtracts_b_dec else "added after decoding only"),
        ("processing", ", ".join(processing)),
        ("windows", f"{count(config.context)} tokens" if config.context else ""),
        ("BOS", {True: "prepended in training", False: "none in training", None: ""}[config.prepends_bos]),
    ]
    return [(name, safe(value)) for name, value in facts if value]


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    if content is not None:
        return [(key, str(content.spec.get(key, ""))) for key in ("folder", "hash")]
    config, source = stored_config(Path(artifact.path))
    return [*config_facts(config), *([("source", safe(source))] if source else [])]


KIND = Kind(
    name=NAME,
    listed=list_saes,
    remove=remove_folder,
    facts=_facts,
    prune=lambda: prune_folders(saes_dir(), is_unfinished),
)
