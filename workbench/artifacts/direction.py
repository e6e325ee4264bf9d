"""Directions: `@refusal` is one vector of d_model numbers.

One lies in the session that used it, and may lie in a file of the user's data folder, `directions/NAME.npy` or
`.safetensors` (no pickle). The metadata of a safetensors file may say where it comes from (`origin`, JSON of an
Origin), and name the prompts whose means differ by the direction: `positive` and `negative`, JSON lists of prompts,
`site` (`L14.resid_pre`), and, where it is not the last token of plain text that was compared, `position` (`-2` is the
last but one), `chat` (`true`) and `system` (`none`, or the text of the chat's system turn).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from workbench import paths
from workbench.artifacts._artifact import Artifact, Content, Facts, Kind, Use
from workbench.artifacts._direction_files import check_vector as check_vector
from workbench.artifacts._direction_files import read_metadata, read_vector, write_vector
from workbench.artifacts._files import file_named, files_in, list_files, remove_file
from workbench.directions.names import model_direction
from workbench.edits import Add, Edit
from workbench.errors import JSON_ERRORS, UserError
from workbench.files import write_whole
from workbench.text import count, number

NAME = "direction"
SUFFIXES = (".safetensors", ".npy")
CONTRAST = ("positive", "negative", "site", "position", "chat", "system")
"""what a file's metadata may say of the prompts behind a direction"""
_NAME = re.compile(r"[A-Za-z_](?:[\w.-]*\w)?")
_IN_UNITS = re.compile(rf"@({_NAME.pattern})")


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a direction is of, as far as it is known: without it, adding or projecting out may be silently wrong."""

    method: Literal["", "mean difference", "token class", "neuron", "head", "feature", "arithmetic", "probe"] = ""
    about: str = ""
    """in words: `128 + 128 prompts`, `@a - 0.5*@b`"""
    model: str = ""
    """its name as shown"""
    fingerprint: str = ""
    """of that model's config, tokenizer and weights"""
    site: str = ""
    """where it was read: `resid_pre`, `W_E`"""
    layer: int | None = None
    position: int | None = None
    """of the prompt's tokens, −1 the last; None where it is of no position"""
    purpose: Literal["", "add", "project"] = ""
    """what it is meant for: adding it as it is, or projecting it out; empty where nobody said"""
    normalised: bool = False
    """its length is 1 and says nothing"""

    @property
    def place(self) -> str:
        """`L12.resid_pre`, `W_E`; empty where it is not known."""
        return self.site if self.layer is None or not self.site else f"L{self.layer}.{self.site}"

    @property
    def facts(self) -> Facts:
        """All that is known of it, by what it says."""
        made = " of ".join(filter(None, [self.method, self.about])) if self.method != "arithmetic" else self.about
        position = "" if self.position is None else f"position {count(self.position)}"
        facts = [
            ("what", made),
            ("read at", ", ".join(filter(None, [self.place, position]))),
            ("meant for", {"add": "adding", "project": "projecting out", "": ""}[self.purpose]),
            ("length", "1, normalised" if self.normalised else ""),
        ]
        return [fact for fact in facts if fact[1]]

    @property
    def words(self) -> str:
        """The same in a line: `mean difference of 128 + 128 prompts, at L12.resid_pre, position −1; for adding`."""
        known = dict(self.facts)
        read_at = f"at {known['read at']}" if "read at" in known else ""
        purpose = f"for {known['meant for']}" if "meant for" in known else ""
        where = ", ".join(filter(None, [known.get("what"), read_at]))
        return "; ".join(filter(None, [where, purpose, "length 1" if self.normalised else ""])) or "nothing is known"


UNKNOWN = Origin()


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """A named direction with its numbers: what travels with a run."""

    name: str
    """without its @"""
    vector: bytes
    """float32, little-endian, [d_model], as stored"""
    contrast: dict[str, str] = {}
    """what the file's metadata says of its prompts, as it stands there"""
    origin: Origin = UNKNOWN
    remark: str = ""
    """what the reader of a result must know: the name stands for another direction by now"""
    takes_name: bool = True
    """the name stands for it in the session from now on; not where a step runs again with what it recorded"""
    transfer: bool = False
    """it may be used on another model of its width than the one it was made on"""
    made_by: str = ""
    """in words, which step of which session made it, or brought it there; empty for one of the data folder"""

    @property
    def numbers(self) -> np.ndarray:
        """float32 [d_model], read-only"""
        return np.frombuffer(self.vector, "<f4")

    @property
    def content(self) -> Content:
        """As it is stored in a session."""
        spec: dict[str, Any] = {"contrast": self.contrast}
        if self.origin != UNKNOWN:
            spec["origin"] = msgspec.to_builtins(self.origin)
        return Content(kind=NAME, spec=spec, array=self.numbers, fingerprint=self.origin.fingerprint)

    @property
    def hash(self) -> str:
        return self.content.hash

    @property
    def use(self) -> Use:
        """What a step that names it is stored with."""
        return Use(content=self.content, name=self.name, takes_name=self.takes_name)


def from_content(name: str, content: Content) -> Direction:
    """A direction as a session has it. Raises UserError for one that is damaged."""
    contrast = content.spec.get("contrast", {})
    if content.array is None or content.array.ndim != 1 or not isinstance(contrast, dict):
        raise UserError(f"@{name} is damaged in the session: it is no vector")
    vector = np.asarray(content.array, "<f4").tobytes()
    try:
        origin = msgspec.convert(content.spec.get("origin", {}), Origin)
    except msgspec.ValidationError as error:
        raise UserError(f"@{name} is damaged in the session: where it comes from can't be read ({error})") from None
    texts = {str(key): str(value) for key, value in contrast.items()}
    return Direction(name=name, vector=vector, contrast=texts, origin=origin)


def directions_dir() -> Path:
    """Where NAME.npy and NAME.safetensors are looked for."""
    return paths.data_dir() / "directions"


def direction_names(edits: Iterable[Edit], units: Iterable[str] = ()) -> list[str]:
    """The named directions of a stack and of lists of units, each once; a model's own weights are not among them."""
    names: dict[str, None] = {}
    for edit in edits:
        if isinstance(edit, Add) and edit.direction:
            names[edit.direction] = None
        names.update(dict.fromkeys(_IN_UNITS.findall(edit.units)))
    for text in units:
        names.update(dict.fromkeys(_IN_UNITS.findall(text)))
    return [name for name in names if model_direction(name) is None]


def kept_directions() -> list[str]:
    """Names of the directions in the data folder."""
    return sorted({file.stem for file in files_in(directions_dir(), SUFFIXES)})


def direction_file(name: str) -> Path | None:
    """The file of a named direction; None where there is none."""
    return file_named(directions_dir(), SUFFIXES, name)


def read_direction(name: str) -> Direction:
    """A direction from its file. Raises UserError where there is none, naming the ones there are."""
    file = direction_file(name)
    if file is None:
        names = kept_directions()
        hint = f"there are {', '.join('@' + name for name in names)}" if names else "no directions are saved"
        raise UserError(f"there is no direction @{name} in {directions_dir()}: {hint}")
    return read_direction_file(name, file)


def read_direction_file(name: str, file: Path) -> Direction:
    """What a file of any place holds, as `@name`. Raises UserError where it holds no direction."""
    vector, metadata = read_vector(file), read_metadata(file)
    contrast = {key: metadata[key] for key in CONTRAST if key in metadata}
    try:
        origin = msgspec.json.decode(metadata.get("origin", "{}"), type=Origin)
    except JSON_ERRORS as error:
        raise UserError(f"{file}: where the direction comes from can't be read ({error})") from None
    return Direction(name=name, vector=vector.astype("<f4").tobytes(), contrast=contrast, origin=origin)


def write_direction(direction: Direction, file: Path) -> None:
    """As a safetensors file with all that is known of it. Raises UserError, also for a file that is there."""
    if file.suffix != ".safetensors":
        raise UserError(f"{file}: directions are exported as safetensors, for example {file.with_suffix(SUFFIXES[0])}")
    if file.exists():
        raise UserError(f"{file} is there already: choose another name, or remove it")
    metadata = {"name": direction.name, "origin": msgspec.json.encode(direction.origin).decode(), **direction.contrast}
    write_vector(file, direction.numbers, metadata)


def check_direction_name(name: str) -> None:
    """Raises UserError for what no direction can be called."""
    if not _NAME.fullmatch(name) or model_direction(name):
        raise UserError(f"{name!r} is no name for a direction: letters, digits, _ . - after a letter, as in @refusal")


def keep_direction(name: str, file: Path, d_model: int | None = None) -> Path:
    """Copies a direction's file to where `@name` is looked for, and returns its path there.

    Raises UserError for a file that holds no direction, and for a name that stands for another one already.
    """
    check_direction_name(name)
    vector = read_vector(file)
    if d_model is not None and len(vector) != d_model:
        raise UserError(f"{file} has {len(vector)} numbers: this model's directions have {d_model}")
    existing = direction_file(name)
    if existing is not None:
        if np.array_equal(read_vector(existing), vector):
            return existing
        raise UserError(f"@{name} is another direction already ({existing}): choose another name, or remove it")
    folder = directions_dir()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}{file.suffix if file.suffix == '.safetensors' else '.npy'}"
    data = io.BytesIO()
    np.save(data, vector)
    # A safetensors file goes as it is, with what it says of its prompts.
    write_whole(target, file.read_bytes() if target.suffix == ".safetensors" else data.getvalue(), private=True)
    return target


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    direction = from_content(artifact.name, content) if content else read_direction(artifact.name)
    numbers = direction.numbers
    origin = direction.origin
    made_on = f"{origin.model} ({origin.fingerprint[:8]})" if origin.fingerprint else origin.model or "not known"
    facts = [
        ("numbers", f"{len(numbers):,}, norm {number(float(np.linalg.norm(numbers)))}"),
        *origin.facts,
        ("made on", made_on),
    ]
    return facts + [(name, direction.contrast[name]) for name in CONTRAST if name in direction.contrast]


KIND = Kind(
    name=NAME,
    listed=lambda: list_files(NAME, directions_dir(), SUFFIXES, lambda file: read_direction_file(file.stem, file).hash),
    remove=remove_file,
    facts=_facts,
    in_session=True,
)
