"""The settings file: TOML, a handful of documented keys, every one optional.

A flag on the command line wins over it; it wins over the defaults below.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from workbench.errors import UserError
from workbench.paths import config_file
from workbench.text import safe


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user can set once. `Meta.description` is the documentation that `workbench settings` prints."""

    theme: Annotated[
        Literal["auto", "dark", "light", "ansi"],
        Meta(
            description="colours: dark, light, ansi (the terminal's own sixteen), or auto: dark or light as the "
            "terminal's background is"
        ),
    ] = "auto"
    model: Annotated[
        str,
        Meta(description="what --model means where it is not given: a hub id, a folder, or default", min_length=1),
    ] = "default"
    device: Annotated[
        str,
        Meta(
            description="auto, cpu, cuda, cuda:1, several GPUs as cuda:0,cuda:1, mps …; auto takes the best that works",
            pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?|cuda:\d+(,cuda:\d+)+)$",
        ),
    ] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Meta(description="auto, float32, bfloat16 or float16; auto is float32 on a CPU, the weights' own elsewhere"),
    ] = "auto"
    idle_minutes: Annotated[
        float,
        Meta(description="the worker ends after this long without a job or a request; 0 keeps it for good", ge=0),
    ] = 60
    judge: Annotated[
        str,
        Meta(
            description="what judges completions where --judge is not given: a command that reads JSONL and writes a "
            "label a line; empty is our own rules alone"
        ),
    ] = ""
    judge_seconds: Annotated[float, Meta(description="how long a judge may take before it is ended", gt=0)] = 120
    sae_probes: Annotated[
        str, Meta(description="the folder that the data sets of sae-probes are unpacked in, for --data sae-probes:65")
    ] = ""
    store_gigabytes: Annotated[
        float,
        Meta(
            description="how much disk the activations that probes read may take, GiB; the stores used longest ago go "
            "first",
            gt=0,
        ),
    ] = 20
    mouse: Annotated[
        bool, Meta(description="whether the workbench takes the mouse; off leaves selecting text to the terminal")
    ] = True
    keys: Annotated[
        dict[str, str],
        Meta(description="keys by binding id, for example help = 'f1,question_mark'; F1 shows the ids"),
    ] = {}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One key, as listings show it."""

    name: str
    value: Any
    default: Any
    help: str


def load(path: Path | None = None) -> Settings:
    """The settings as they are; the defaults where there is no file.

    Raises UserError naming the file, and the key or the line that is wrong.
    """
    path = path or config_file()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except OSError as error:
        raise UserError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"the settings file {path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the settings file {path} is not TOML: {safe(str(error))}") from None
    names = Settings.__struct_fields__
    for key in data:
        if key not in names:
            matches = difflib.get_close_matches(key, names, n=1)
            suggestion = f"did you mean {matches[0]!r}?" if matches else f"there are {', '.join(names)}"
            raise UserError(f"{path}: there is no setting {safe(key)!r}: {suggestion}")
    try:
        return msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        problem, _, key_path = str(error).partition(" - at `$.")
        key = key_path.rstrip("`").split("[")[0].split(".")[0]
        meaning = next((item.help for item in listing(Settings()) if item.name == key), "")
        raise UserError(f"{path}: {key}: {safe(problem[0].lower() + problem[1:])} ({meaning})") from None


def listing(settings: Settings) -> Iterator[Setting]:
    """Every key with its value, default and meaning, in order."""
    defaults = Settings()
    hints = get_type_hints(Settings, include_extras=True)
    for name in Settings.__struct_fields__:
        meta = next(item for item in get_args(hints[name]) if isinstance(item, Meta))
        yield Setting(
            name=name,
            value=getattr(settings, name),
            default=getattr(defaults, name),
            help=meta.description or "",
        )


def example() -> str:
    """A settings file with every key at its default, commented out, each with its meaning."""
    lines = ["# Workbench settings. Every key is optional; remove the # in front of one to set it.", ""]
    for item in listing(Settings()):
        lines.append(f"# {item.help}")
        lines += ["# [keys]", "# help = 'f1'"] if item.name == "keys" else [f"# {item.name} = {toml(item.default)}", ""]
    return "\n".join(lines) + "\n"


def light_by_environment() -> bool:
    """$COLORFGBG, which some terminals set, names a light background: `0;15`."""
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")


def toml(value: Any) -> str:
    """A setting's value as TOML writes it."""
    return msgspec.json.encode(value).decode() if not isinstance(value, float) else f"{value:g}"
