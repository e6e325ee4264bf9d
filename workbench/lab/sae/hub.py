"""SAEs of the Hugging Face hub, `org/name/folder/in/it`: the two or three files of one, into the hub's own cache."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.artifacts.sae import CONFIG
from workbench.errors import UserError
from workbench.lab.sae.gemma_scope_2 import CONFIG_2
from workbench.lab.sae.reading import FILES
from workbench.text import count, quoted

_SHOWN = 4
_RELEASED = re.compile(r"(?:blocks\.|transformer\.h|layer_?\d|l\d+[arm]_|embedding\b).*")
"""how SAELens calls an SAE within a release: it stands where an organisation's repository would"""


def find_folder(ref: str) -> Path:
    """The folder that holds an SAE: a local one (or a file in it), or one of the hub, downloaded where it is not here.

    Raises UserError: neither, offline, gated, or no SAE at that place, with those that the release has.
    """
    path = Path(ref).expanduser()
    if path.exists() or ref.startswith((".", "/", "~")):
        return path.parent if path.is_file() else path
    parts = ref.strip("/").split("/")
    if len(parts) < 2 or not all(parts):
        raise UserError(
            f"{quoted(ref)} is neither a folder nor a place on the hub: give ORG/NAME/PATH, like "
            "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre"
        )
    if _RELEASED.fullmatch(parts[1]):
        raise UserError(
            f"{quoted(ref)} is SAELens' name of an SAE, and its table of releases is not part of this program: give "
            "ORG/NAME/PATH of the hub, the repo_id and path of that table, like "
            "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre for gpt2-small-res-jb/blocks.8.hook_resid_pre"
        )
    repository, inner = "/".join(parts[:2]), "/".join(parts[2:])
    folder = _download(repository, inner, local=True)
    if folder is None:
        folder = _download(repository, inner, local=False)
    if folder is None:
        raise UserError(_not_there(repository, inner))
    return folder


def _download(repository: str, inner: str, local: bool) -> Path | None:
    """The folder, where it has weights; with `local` what the cache has. Raises UserError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    prefix = f"{inner}/" if inner else ""
    patterns = [f"{prefix}{name}" for name in (CONFIG, CONFIG_2, *FILES)]
    try:
        folder = Path(snapshot_download(repository, allow_patterns=patterns, local_files_only=local)) / inner
    except Exception as error:  # the hub's client raises what its libraries raise
        if local:
            return None
        raise UserError(_explained(repository, error)) from None
    return folder if any((folder / name).is_file() for name in FILES) else None


def _explained(repository: str, error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{repository} is gated: accept its licence on the hub, then `hf auth login` here, and start again"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no {repository}, or it is private: check the name, or log in with `hf auth login`"
    if isinstance(error, errors.HFValidationError):
        return f"{quoted(repository)} is no name on the hub: it looks like org/name"
    lines = str(error).strip().splitlines()
    why = lines[0] if lines else type(error).__name__
    return f"{repository} is not in the hub's cache here, and the hub was not reached ({why}): a local folder works"


def _not_there(repository: str, inner: str) -> str:
    """What the release has instead."""
    from huggingface_hub import HfApi

    try:
        files = HfApi().list_repo_files(repository)
    except Exception as error:
        return _explained(repository, error)
    folders = sorted({file.rpartition("/")[0] for file in files if file.rpartition("/")[2] in FILES})
    if not folders:
        return f"{repository} has none of {', '.join(FILES)}: it holds no SAE that is read here"
    near = [folder for folder in folders if folder.startswith(inner)] or folders
    more = f" and {count(len(near) - _SHOWN)} more" if len(near) > _SHOWN else ""
    place = f"{repository}/{inner}" if inner else repository
    return f"{place} holds no SAE itself: name one of {', '.join(near[:_SHOWN])}{more}"
