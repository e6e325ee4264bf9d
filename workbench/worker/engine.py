"""What the model process runs: a lab behind the few calls it needs, so that tests can put another in its place."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from workbench.artifacts.direction import Direction
from workbench.edits import Edit
from workbench.errors import UserError
from workbench.judging import JudgeCommand
from workbench.model_info import ModelInfo
from workbench.report import Report
from workbench.worker.cores import allowed_cores

if TYPE_CHECKING:
    from workbench.lab.progress import StageListener


class Engine(Protocol):
    """A loaded model."""

    cancel_check: Callable[[], None] | None
    """called often within a pass; raises Cancelled to stop it"""

    @property
    def info(self) -> ModelInfo: ...

    def execute(
        self,
        experiment: str,
        params: dict[str, Any],
        edits: Sequence[Edit],
        seed: int,
        report: Report,
        directions: Mapping[str, Direction],
        judge: JudgeCommand | None = None,
    ) -> None:
        """Raises UserError and Cancelled."""

    def hooks_installed(self) -> int:
        """0 between batches, or edits of one job would reach another."""

    def memory(self) -> int:
        """Bytes on its devices; 0 where the model lies in ordinary memory."""

    def cached(self) -> int:
        """Bytes of clean passes that are kept for later jobs."""

    def free(self) -> int:
        """Bytes that can still be taken where the model lies: of several devices, on the fullest."""

    def identify(self) -> ModelInfo:
        """The info with its fingerprint, which may take long; called on another thread."""


OpenEngine = Callable[[str, str, str, "StageListener"], Engine]
"""model, device, dtype, tell"""


def engine_factory(reference: str) -> OpenEngine:
    """The function behind `module:function`."""
    module, _, function = reference.partition(":")
    factory: OpenEngine = getattr(importlib.import_module(module), function)
    return factory


class LabEngine:
    """The real one."""

    def __init__(self, lab: Any) -> None:
        self._lab = lab

    @property
    def info(self) -> ModelInfo:
        info: ModelInfo = self._lab.info
        return info

    @property
    def cancel_check(self) -> Callable[[], None] | None:
        check: Callable[[], None] | None = self._lab.cancel_check
        return check

    @cancel_check.setter
    def cancel_check(self, check: Callable[[], None] | None) -> None:
        self._lab.cancel_check = check

    def execute(
        self,
        experiment: str,
        params: dict[str, Any],
        edits: Sequence[Edit],
        seed: int,
        report: Report,
        directions: Mapping[str, Direction],
        judge: JudgeCommand | None = None,
    ) -> None:
        from workbench.execute import execute

        execute(self._lab, experiment, params, edits, seed, report, directions, judge)

    def hooks_installed(self) -> int:
        return int(self._lab.hooks_installed())

    def memory(self) -> int:
        import torch

        if self.info.device.startswith("cuda"):
            return sum(int(torch.cuda.memory_reserved(device)) for device in self.info.devices)
        return int(torch.mps.driver_allocated_memory()) if self.info.device == "mps" else 0

    def free(self) -> int:
        from workbench.lab.memory import free_on_fullest

        return free_on_fullest(self.info.devices)

    def cached(self) -> int:
        return int(self._lab.model.clean.bytes)

    def identify(self) -> ModelInfo:
        self._lab.set_fingerprint(self._lab.model.identity.read().result())
        return self.info


def open_lab_engine(model: str, device: str, dtype: str, tell: StageListener) -> Engine:
    """Find, fetch and load a model. Raises UserError."""
    from workbench.lab.finding.source import resolve

    tell("finding", "", None, None)
    source = resolve(model, tell)
    tell("importing", "", None, None)
    limit_threads()
    from workbench.lab.model import load_lab

    return LabEngine(load_lab(source, device, dtype, tell))


def limit_threads() -> None:
    """Torch's own number of threads, but no more than there are cores to run them; what the user has set counts."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), allowed_cores()))


def versions() -> dict[str, str]:
    """Of all that can change a number: another number of threads adds up in another order."""
    versions = {"python": platform.python_version(), "system": f"{sys.platform} {platform.machine()}"}
    if "torch" in sys.modules:
        versions["threads"] = str(sys.modules["torch"].get_num_threads())
    for package in ("workbench-lm", "torch", "transformers", "transformer_lens", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


_LOST_SIGNS = ("CUDA error", "HIP error", "CUDNN_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_EXECUTION_FAILED")


def device_is_lost(error: BaseException) -> bool:
    """Whether every later call on this process's GPU will fail as this one did; running out of memory is not so."""
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause)
        if isinstance(cause, RuntimeError) and any(sign in text for sign in _LOST_SIGNS):
            return "out of memory" not in text
        cause = cause.__cause__ or cause.__context__
    return False


def internal_error(error: BaseException) -> str:
    """A defect of ours as a sentence; the log has the rest."""
    if isinstance(error, UserError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0][:300]
    if device_is_lost(error):
        return f"the GPU failed ({first}); the model is being loaded again, workbench logs has the details"
    return f"it stopped on a defect ({type(error).__name__}: {first}); workbench logs has the details"
