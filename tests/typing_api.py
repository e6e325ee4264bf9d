"""What type checkers know of the Python API: read by mypy (test_typing.py), never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np

from workbench import open_lab
from workbench.api import OpenedLab, Result
from workbench.edits import SetTo
from workbench.model_info import ModelInfo
from workbench.report import NextStep
from workbench.views import AnyView


def runs(lab: OpenedLab) -> None:
    result = lab.run("predict", prompt="a", edits=["L1.N2=0"], seed=1)
    assert_type(result, Result)
    assert_type(lab.logit_lens(prompt="a"), Result)
    assert_type(result.headline, str)
    assert_type(result.scalars, dict[str, float | None])
    assert_type(result.views, dict[str, AnyView])
    assert_type(result.next_steps, list[NextStep])
    assert_type(result.arrays["a.b"], np.ndarray)
    assert_type(result.step, int | None)


def opens(folder: Path) -> None:
    with open_lab("default", session=folder / "a.db", device="cpu") as lab:
        assert_type(lab, OpenedLab)
        assert_type(lab.info, ModelInfo)
        assert_type(lab.session, Path | None)


def takes_edits_in_every_form(lab: OpenedLab) -> None:
    lab.run("predict", edits="L1.N2=0")
    lab.run("predict", edits=SetTo("L1.N2", 0))
    lab.run("predict", edits=("L1.resid_post", lambda activation, context: activation * 2))
    lab.run("predict", edits=[SetTo("L1.N2", 0), "L1.N3*=2"])
    lab.cache(["a", "b"], "L1.resid_post", edits="L1.N2=0")


def is_refused(lab: OpenedLab) -> None:
    open_lab(3)  # type: ignore[arg-type]
    open_lab(cuda=True)  # type: ignore[call-arg]
    lab.run("predict", edits=3)  # type: ignore[arg-type]
    lab.run("predict", seed="one")  # type: ignore[arg-type]
    lab.cache(3, "L1.resid_post")  # type: ignore[arg-type]
    lab.session = Path("b.db")  # type: ignore[misc]
    lab.run("predict").headline = "another"  # type: ignore[misc]
