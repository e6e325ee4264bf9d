"""`workbench artifacts import`, `export` and `rename`: directions that come from files, and go into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from workbench.cli.options import PATH, from_group
from workbench.cli.saying import say
from workbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from workbench.artifacts.direction import Direction, Origin
    from workbench.session.writer import SessionWriter
    from workbench.worker.protocol import KeepDirection, RenameArtifact

SAFE_TORCH = (2, 10)
"""from this version on, reading weights only is safe with files of strangers"""
LENGTH_1 = 1e-3
"""how far the length of a normalised vector may be from 1"""
_SESSION = click.option("--session", type=PATH, metavar="FILE", help="The session; else the data folder.")


@click.command(
    "import",
    help="Keep a direction from a file as @NAME: .safetensors, .npy, or direction.pt with its metadata beside it.\n\n"
    "What the file doesn't say of it is asked for, since it would be silently wrong.",
    short_help="Keep a direction from a file.",
)
@click.argument("file", type=PATH)
@click.option("--name", default="", metavar="NAME", help="What to call it; else the file's name.")
@click.option("--for", "purpose", type=click.Choice(["add", "project"]), help="What it is meant for.")
@click.option("--site", default="", metavar="SITE", help="Where it was read: resid_pre, W_E …")
@click.option("--layer", type=click.IntRange(0), metavar="N", help="At which layer.")
@click.option("--position", type=int, metavar="N", help="At which position, −1 the last of the prompt.")
@_SESSION
def import_command(
    file: Path,
    name: str,
    purpose: Literal["add", "project"] | None,
    site: str,
    layer: int | None,
    position: int | None,
    session: Path | None,
) -> None:
    import msgspec
    import numpy as np

    from workbench.artifacts.direction import check_direction_name, direction_file, directions_dir, write_direction
    from workbench.cli.page import short_path
    from workbench.text import number
    from workbench.worker.protocol import KeepDirection

    name = (name or file.stem).removeprefix("@")
    check_direction_name(name)
    direction = _read(name, file)
    length = float(np.linalg.norm(direction.numbers))
    typed = {"purpose": purpose, "site": site or None, "layer": layer, "position": position}
    origin = msgspec.structs.replace(
        direction.origin,
        **{field: value for field, value in typed.items() if value is not None},
        normalised=abs(length - 1) < LENGTH_1,
    )
    _check_known(file, origin)
    direction = msgspec.structs.replace(direction, origin=origin)
    session = from_group("session", session)
    if session is None:
        existing = direction_file(name)
        if existing is not None:
            raise UserError(f"@{name} is there already ({existing}): choose another --name, or remove it")
        write_direction(direction, directions_dir() / f"{name}.safetensors")
        place = short_path(directions_dir())
    else:
        message = KeepDirection(session=str(session.absolute()), direction=direction)
        _write(session, message, lambda writer: writer.keep_artifact(direction.use))
        place = short_path(session.absolute())
    length_words = "its length is 1: normalised" if origin.normalised else f"its length is {number(length)}: as found"
    say(f"@{name} is in {place}: {origin.words} · {length_words}")


@click.command("export", help="Write a direction and all that is known of it into a .safetensors file.")
@click.argument("name")
@click.argument("file", type=PATH)
@_SESSION
def export_command(name: str, file: Path, session: Path | None) -> None:
    from workbench.artifacts.direction import write_direction
    from workbench.cli.page import short_path
    from workbench.directions.names import model_direction
    from workbench.session.directions import resolve_directions

    name = name.removeprefix("@")
    if model_direction(name):
        raise UserError(f"@{name} is the model's own: `workbench run direction` keeps one of it under a name")
    session = from_group("session", session)
    direction = resolve_directions([name], str(session.absolute()) if session else "")[name]
    write_direction(direction, file)
    say(f"@{name} is in {short_path(file.absolute())}: {direction.origin.words}")


@click.command("rename", help="Give an artifact of a session another name; steps that used it keep the old one.")
@click.argument("old")
@click.argument("new")
@click.option("--session", type=PATH, metavar="FILE", help="The session it lies in.")
@click.option("--kind", default="", metavar="KIND", help="direction, prompt set …")
def rename_command(old: str, new: str, session: Path | None, kind: str) -> None:
    from workbench.artifacts import find_artifact, kinds
    from workbench.artifacts.direction import check_direction_name
    from workbench.cli.page import short_path
    from workbench.session.catalogue import session_artifacts
    from workbench.worker.protocol import RenameArtifact

    session = from_group("session", session)
    if session is None:
        raise UserError("name the session with --session: names belong to sessions (a file has the name that it has)")
    new = new.removeprefix("@")
    check_direction_name(new)
    _check_there(session)
    artifact = find_artifact(session_artifacts(session.absolute()), old, kind)
    if not kinds()[artifact.kind].in_session:
        raise UserError(f"{artifact.name} is an {artifact.kind}: it lies in a folder, whose name is its own")
    message = RenameArtifact(session=str(session.absolute()), kind=artifact.kind, name=artifact.name, new_name=new)
    _write(session, message, lambda writer: writer.rename_artifact(artifact.kind, artifact.name, new))
    say(f"the {artifact.kind} {artifact.name} is called {new} in {short_path(session.absolute())}")


def _write(session: Path, message: KeepDirection | RenameArtifact, change: Callable[[SessionWriter], None]) -> None:
    """Changes a session, through the worker where one writes it. Raises UserError."""
    from workbench.cli.sessions import send_to_worker
    from workbench.session.writer import SessionWriter

    try:
        with SessionWriter(session.absolute()) as writer:
            change(writer)
    except UserError:
        # a worker that has the session open is the one who writes
        if not send_to_worker(message):
            raise


def _check_there(session: Path) -> None:
    from workbench.cli.sessions import open_session

    open_session(session).close()


def _check_known(file: Path, origin: Origin) -> None:
    """Raises UserError, naming the flags, where something is not known without which a use may be silently wrong."""
    read_at_layers = origin.method in ("", "mean difference") and origin.site not in ("W_E", "W_U")
    missing = [] if origin.purpose else ["--for add or --for project (is it meant to be added, or projected out?)"]
    if read_at_layers and not origin.site:
        missing.append("--site (where it was read, for example resid_pre)")
    if read_at_layers and origin.layer is None:
        missing.append("--layer (at which layer)")
    if missing:
        raise UserError(f"{file} does not say what the direction is of: give {', '.join(missing)}")


def _read(name: str, file: Path) -> Direction:
    from workbench.artifacts.direction import Direction, read_direction_file

    if file.suffix != ".pt":
        return _with_place_of_contrast(read_direction_file(name, file))
    metadata = _read_metadata_beside(file)
    return Direction(name=name, vector=_read_torch(file).astype("<f4").tobytes(), origin=metadata)


def _with_place_of_contrast(direction: Direction) -> Direction:
    """Its place from what the file says of its prompts, where it says no more than that."""
    import re

    import msgspec

    from workbench.artifacts.direction import UNKNOWN

    place = re.fullmatch(r"L(\d+)\.(\w+)", direction.contrast.get("site", ""))
    if direction.origin != UNKNOWN or place is None:
        return direction
    position = direction.contrast.get("position", "-1")
    origin = msgspec.structs.replace(
        direction.origin,
        method="mean difference",
        layer=int(place[1]),
        site=place[2],
        position=int(position) if re.fullmatch(r"-\d+", position) else None,
    )
    return msgspec.structs.replace(direction, origin=origin)


def _read_metadata_beside(file: Path) -> Origin:
    """Of the authors' `direction.pt` (Arditi et al. 2024): `direction_metadata.json`, {"pos": -1, "layer": 12}.

    Their candidates are mean differences at block inputs.
    """
    import json

    from workbench.artifacts.direction import Origin

    beside = file.with_name(f"{file.stem}_metadata.json")
    if not beside.exists():
        return Origin()
    try:
        metadata: Any = json.loads(beside.read_text(encoding="utf-8"))
        position, layer = metadata["pos"], metadata["layer"]
        if not all(isinstance(value, int) for value in (position, layer)):
            raise TypeError("pos and layer are whole numbers")
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f'{beside} is not of the form {{"pos": -1, "layer": 12}}: {error}') from None
    return Origin(method="mean difference", site="resid_pre", layer=layer, position=position)


def _read_torch(file: Path) -> np.ndarray:
    """float32 [d_model], with nothing of the file executed. Raises UserError."""
    import numpy as np

    from workbench.artifacts.direction import check_vector

    if not file.exists():
        raise UserError(f"there is no file {file}")
    import torch

    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < SAFE_TORCH:
        raise UserError(
            f"{file}: torch {torch.__version__} can't read such a file without risk (2.10 can): save its tensor as .npy"
        )
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of anybody's
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} can't be read as weights alone: {first_line}") from None
    if not isinstance(loaded, torch.Tensor) or not loaded.dtype.is_floating_point:
        raise UserError(f"{file} holds {type(loaded).__name__}: a direction is one tensor of real numbers")
    vector = np.asarray(loaded.detach().float().numpy()).squeeze()
    check_vector(vector, file)
    return vector
