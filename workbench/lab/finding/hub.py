"""Models of the Hugging Face hub: safetensors, config and tokenizer into the hub's own cache, and nothing else."""

from __future__ import annotations

import concurrent.futures
import fnmatch
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import UserError
from workbench.lab.finding.cached import SMALL_FILES, WEIGHTS, find_cached
from workbench.lab.finding.checkpoint import check_architecture, read_checkpoint, read_config
from workbench.lab.progress import Meter, StageListener

_NOT_OURS = ["*/*"]
"""folders hold other formats (onnx, original); the patterns' * would match into them"""
_PROBE_SECONDS = 3.0


def cached(ref: str) -> Path | None:
    """The folder of a hub model that is whole in the hub's cache, without asking the network."""
    model = find_cached(ref)
    return model.folder if model is not None and not model.problem else None


def answers(ref: str) -> bool:
    """Whether the hub gives this model, asked once for at most three seconds in all."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []

    def ask() -> None:
        try:
            HfApi().model_info(ref, timeout=_PROBE_SECONDS)
            answers.append(True)
        except Exception:  # whatever it is, the package is the other way
            answers.append(False)

    # A name that does not resolve can hang for longer than any timeout that the request has.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return bool(answers) and answers[0]


def fetch(ref: str, progress: StageListener) -> Path:
    """Download what is missing of a hub model; its snapshot folder.

    A broken connection is gone on with; after a kill, files that were finished are kept (the hub's client starts
    the others again).

    Raises UserError: offline, unknown, gated, no safetensors, an architecture that transformers lacks.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.utils import disable_progress_bars

    if HF_HUB_OFFLINE:
        raise UserError(_not_reached(ref, "HF_HUB_OFFLINE is set"))
    progress("finding", f"asking the hub for {ref}", None, None)
    disable_progress_bars()
    with _errors_explained(ref):
        info = HfApi().model_info(ref, files_metadata=True)
        _check_listing(ref, info)
        small = snapshot_download(ref, allow_patterns=SMALL_FILES, ignore_patterns=_NOT_OURS)
    check_architecture(read_config(Path(small)), ref)
    blobs = _Blobs(ref, info)
    meter = Meter(progress, "downloading", f"{ref} from the hub", blobs.total, blobs.present())
    with _errors_explained(ref, begun=True):
        folder = _download_watched(
            lambda: snapshot_download(ref, allow_patterns=SMALL_FILES + WEIGHTS, ignore_patterns=_NOT_OURS),
            blobs,
            meter,
        )
    read_checkpoint(folder)
    return folder


def _download_watched(download: Callable[[], str], blobs: _Blobs, meter: Meter) -> Path:
    """Run `download` beside a look at the files that grow; this works alike in every version of the hub's client."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(download)
        while True:
            meter.at(blobs.present())
            done, _ = concurrent.futures.wait([future], timeout=0.25)
            if done:
                folder = Path(future.result())
                meter.at(blobs.present())
                return folder


class _Blobs:
    """The weight files as the hub's cache stores them: blobs/HASH, or blobs/HASH*.incomplete while they come."""

    def __init__(self, ref: str, info: Any) -> None:
        from huggingface_hub.constants import HF_HUB_CACHE

        self._folder = Path(HF_HUB_CACHE) / f"models--{ref.replace('/', '--')}" / "blobs"
        files = [file for file in info.siblings if _is_weights(file.rfilename)]
        self._hashes = [file.lfs.sha256 if file.lfs else file.blob_id for file in files]
        self.total = sum(file.size or 0 for file in files)

    def present(self) -> int:
        """bytes; of a file that was begun several times, the longest"""
        return sum(max(map(_size, self._folder.glob(f"{name}*")), default=0) for name in self._hashes)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # renamed meanwhile
        return 0


def _is_weights(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in WEIGHTS) and "/" not in name


def _check_listing(ref: str, info: Any) -> None:
    """Raises UserError before anything is downloaded where the repository has nothing for us."""
    names = [file.rfilename for file in info.siblings or []]
    if any(_is_weights(name) for name in names):
        return
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        raise UserError(
            f"{ref} has its weights as pickle only, which can run code when it is opened: the workbench reads "
            f"safetensors. Look for a converted copy on the hub (its discussions often link one), or convert it"
        )
    if any(name.endswith(".gguf") for name in names):
        raise UserError(f"{ref} holds GGUF files only: open the model's safetensors version instead")
    raise UserError(f"{ref} has no safetensors weights: it is not a model that the workbench can open")


@contextmanager
def _errors_explained(ref: str, begun: bool = False) -> Iterator[None]:
    """Turns what the hub's client raises into a sentence for the user; `begun` while weights are coming."""
    try:
        yield
    except Exception as error:
        sentence = explain(ref, error, begun)
        if sentence is None:
            raise
        raise UserError(sentence) from None


def explain(ref: str, error: Exception, begun: bool) -> str | None:
    """What an error of the hub's client means for the user; None where it is not one of the hub's."""
    from huggingface_hub import errors

    page = f"{_endpoint()}/{ref}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{ref} is gated: accept its licence at {page} with your account, then log in here with "
            f"`hf auth login` (or set HF_TOKEN) and start again"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the hub has no model {ref!r}, or it is private: check the name at {page}; "
            f"for a private one log in with `hf auth login` (or set HF_TOKEN)"
        )
    if isinstance(error, errors.HFValidationError):
        return f"{ref!r} is no name of a model: a hub id looks like org/name; for a folder give its path"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return _not_reached(ref, "HF_HUB_OFFLINE is set")
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        if status == 401:
            return f"the hub refused the login for {ref}: renew it with `hf auth login` (or HF_TOKEN)"
        return f"the hub answered {status or error} for {ref}: try again later"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{ref} could not be written to the hub's cache: {error.strerror} ({error.filename})"
    if isinstance(error, OSError | errors.HTTPError):
        cause = error.__cause__ or error
        why = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        if begun:
            return f"the download of {ref} broke off ({why}): start again, the files that are finished are kept"
        return _not_reached(ref, why)
    return None


def _not_reached(ref: str, why: str) -> str:
    model = find_cached(ref)
    state = "is not in the hub's cache here" if model is None else f"is not whole in the hub's cache ({model.problem})"
    return (
        f"{ref} {state}, and the hub was not reached ({why}). What works without it: "
        f"a model folder (--model ./folder), a model that `workbench models` lists, or the default model"
    )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
