"""A session to look at, and views of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.edits import parse_edits
from workbench.model_info import ModelInfo
from workbench.session.writer import SessionWriter
from workbench.views import (
    AnyView,
    Bars,
    Column,
    Heatmap,
    Histogram,
    Lines,
    Mark,
    Scalar,
    Scalars,
    Scatter,
    Series,
    Table,
    Text,
    TokenRow,
    Tokens,
)

INFO = ModelInfo(
    name="tiny",
    ref="tiny",
    architecture="LlamaForCausalLM",
    n_layers=3,
    n_heads=4,
    n_kv_heads=2,
    d_model=32,
    d_head=8,
    d_mlp=64,
    d_vocab=512,
    n_ctx=256,
    gated_mlp=True,
)


def every_view() -> dict[str, AnyView]:
    random = np.random.default_rng(0)
    y = random.normal(size=4).astype(np.float32)
    return {
        "lines": Lines(
            title="lines", x=np.arange(4), series=[Series(name="a", y=y, low=y - 1, high=y + 1)], x_label="", y_label=""
        ),
        "bars": Bars(title="bars", labels=list("abcd"), series=[Series(name="a", y=y)], y_label=""),
        "histogram": Histogram(
            title="histogram",
            edges=np.linspace(0, 1, 5),
            series=[Series(name="a", y=np.array([1, 2, 3, 4], np.uint16))],
            x_label="",
            marks=[Mark(x=0.5, label="here")],
        ),
        "heatmap": Heatmap(
            title="heatmap",
            values=random.normal(size=(2, 3)).astype(np.float16),
            row_labels=["a", "b"],
            column_labels=["x", "y", "z"],
            row_axis="",
            column_axis="",
            low_label="",
            high_label="",
            texts=[["1", "2", "3"], ["4", "5", "6"]],
        ),
        "scatter": Scatter(title="scatter", x=y, y=y.astype(np.float64), labels=list("abcd"), x_label="", y_label=""),
        "table": Table(title="table", columns=[Column(name="a"), Column(name="b")], rows=[["x", 1], [None, 2.5]]),
        "tokens": Tokens(
            title="tokens",
            tokens=["a", " b"],
            rows=[TokenRow(name="clean", values=np.array([np.nan, 1.0]))],
            value_label="",
            low_label="",
            high_label="",
        ),
        "text": Text(title="text \x1b[31m", text="NUL \0 and [bold]markup"),
        "scalars": Scalars(title="scalars", items=[Scalar(name="kl", value=0.1, n=3)]),
    }


@pytest.fixture
def session(own_folders: Path) -> Path:
    """A finished session of two steps, closed."""
    path = own_folders / "a.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("predict", {"prompt": "The capital"}, parse_edits(["L1.N2=0; L2.H1*=2"]), seed=3)
        writer.start(step, INFO, {"torch": "2"})
        writer.publish(step, headline="it says Paris", scalars={"kl": 0.5, "none": None}, views=every_view())
        writer.finish(step, "done")
        other = writer.add_step("generate", {"prompt": "x"}, parent=step, expected="noise")
        writer.start(other, INFO)
        writer.finish(other, "failed", error="no luck")
        writer.note("a note", step)
        writer.note("of the session")
        writer.pin("L1.N2")
        writer.rename("capitals")
    return path
