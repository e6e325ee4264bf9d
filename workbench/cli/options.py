"""What several commands take, and how flags, the group's flags and the settings combine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.settings import Settings
    from workbench.worker.client import WorkerSpec

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path, dir_okay=False)


def json_option(command: F) -> F:
    """`--json`: exactly the data on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")(command)


def model_options() -> list[click.Option]:
    """--model, --device, --dtype, for commands that need a worker."""
    return [
        click.Option(["--model"], metavar="REF", help="A hub id, a local folder, or default."),
        click.Option(["--device"], metavar="NAME", help="auto, cpu, cuda, cuda:1, cuda:0,cuda:1, mps …"),
        click.Option(["--dtype"], metavar="NAME", help="auto, float32, bfloat16 or float16."),
    ]


def from_group(name: str, value: Any) -> Any:
    """The value of a command's flag, else of the same flag given to `workbench` before the command."""
    context = click.get_current_context(silent=True)
    before = (context.find_root().obj or {}) if context else {}
    return value if value is not None else before.get(name)


def worker_spec(settings: Settings, model: str | None, device: str | None, dtype: str | None) -> WorkerSpec:
    """The worker that is meant. Raises UserError for a device or dtype that has no such name."""
    from workbench.settings import Settings as SettingsType
    from workbench.worker.worker_files import WorkerSpec  # the client would bring numpy before the first paint

    flags = {
        "model": from_group("model", model) or settings.model,
        "device": from_group("device", device) or settings.device,
        "dtype": from_group("dtype", dtype) or settings.dtype,
    }
    check_flags(SettingsType, {"device": flags["device"], "dtype": flags["dtype"]})
    folder = Path(flags["model"]).expanduser()
    if folder.is_dir():  # the worker has another working folder
        flags["model"] = str(folder.absolute())
    return WorkerSpec(**flags)


def check_flags(settings: type[Settings], values: dict[str, Any]) -> None:
    """Raises UserError where the setting of the same name does not take a flag's value."""
    import msgspec

    from workbench.settings import listing

    for name, value in values.items():
        try:
            msgspec.convert({name: value}, settings)
        except msgspec.ValidationError:
            meaning = next(item.help for item in listing(settings()) if item.name == name)
            raise UserError(f"--{name} {value}: there is no such {name} ({meaning})") from None


def session_path(session: Path | None) -> Path:
    """The session a command writes to: that of its flag, else one file a day."""
    from workbench.paths import sessions_dir

    path = from_group("session", session)
    if path is None:
        path = sessions_dir() / f"shell-{time.strftime('%Y-%m-%d')}.db"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder for sessions {path.parent} cannot be made: {error.strerror}") from None
    if path.is_dir():
        raise UserError(f"{path} is a folder: a session is one file, for example {path / 'capitals.db'}")
    return Path(path).absolute()
