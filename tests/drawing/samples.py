"""Views of every kind, with what is hard about each."""

import math

import numpy as np

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

NASTY = "日本語 \x1b[31m[bold]é\u0301\u202e 👩\u200d🔬 \x00"
TOKENS = ["<|im_start|>", "The", " capital", " of", " France", " is", "\n", "日本", " un", "believ", "able", NASTY]
rng = np.random.default_rng(0)


def table(rows: int = 5) -> Table:
    names = [" Paris", " the", " Lyon", "\n", "日本"]
    return Table(
        title="next token",
        columns=[
            Column(name="rank", kind="int"),
            Column(name="token", kind="token"),
            Column(name="clean", kind="probability"),
            Column(name="edited", kind="probability", edited=True),
            Column(name="log-prob", kind="logprob"),
            Column(name="change", kind="signed"),
        ],
        rows=[
            [
                i + 1,
                names[i % 5],
                0.771 / (i + 1) ** 3,
                0.412 / (i + 1),
                math.log(0.771) * (i + 1),
                (-1) ** i * 1.213 / (i + 1),
            ]
            for i in range(rows)
        ],
        note="KL .318, n 1",
    )


def tokens(repeat: int = 1, rows: int = 2, signed: bool = False) -> Tokens:
    n = len(TOKENS) * repeat
    values = [rng.normal(0, 3, n) if signed else rng.exponential(3, n) for _ in range(rows)]
    for row in values:
        row[0] = np.nan
    return Tokens(
        title="surprise along the prompt",
        tokens=TOKENS * repeat,
        rows=[TokenRow(name=name, values=v) for name, v in zip(["clean", "edited", "L3.N7"], values, strict=False)],
        value_label="surprise, nats",
        low_label="expected",
        high_label="unexpected",
        signed=signed,
    )


def lines(n: int = 31, bands: bool = True) -> Lines:
    x = np.arange(n, dtype=float)
    clean = np.tanh((x / n - 0.6) * 6) * 8
    return Lines(
        title="rank of the answer by layer",
        x=x,
        series=[
            Series(name="clean", y=clean, low=clean - 1 if bands else None, high=clean + 1 if bands else None),
            Series(name="edited", y=clean * 0.5 - 2),
        ],
        x_label="layer",
        y_label="logit difference",
        note="n 1 prompt",
    )


def bars(n: int = 6, edited: bool = True) -> Bars:
    y = np.linspace(-1.5, 3, n)
    series = [Series(name="clean", y=y, low=y - 0.2, high=y + 0.2)]
    if edited:
        series.append(Series(name="edited", y=y[::-1].copy()))
    return Bars(title="direct effect", labels=[f"L{i}.H{i % 9}" for i in range(n)], series=series, y_label="logits")


def histogram(log: bool = False) -> Histogram:
    counts, edges = np.histogram(rng.normal(0, 1, 10000), bins=60)
    other, _ = np.histogram(rng.normal(1, 0.6, 4000), bins=edges)
    return Histogram(
        title="activation",
        edges=edges,
        series=[Series(name="clean", y=counts), Series(name="edited", y=other)],
        x_label="activation",
        log_counts=log,
        marks=[Mark(x=1.5, label="this prompt")],
    )


def heatmap(rows: int = 8, columns: int = 10, texts: bool = True, signed: bool = False) -> Heatmap:
    values = rng.normal(0, 1, (rows, columns)) if signed else rng.random((rows, columns)) ** 2
    return Heatmap(
        title="logit lens",
        values=values,
        row_labels=["embed", *(f"L{i}" for i in range(rows - 1))],
        column_labels=[["·The", "·capital", "·of", "日本", "·France"][i % 5] for i in range(columns)],
        row_axis="layer",
        column_axis="position",
        low_label="unsure",
        high_label="certain",
        texts=[[[" Paris", " the", "日本", "\n"][(i + j) % 4] for j in range(columns)] for i in range(rows)]
        if texts
        else None,
        signed=signed,
    )


def scatter(n: int = 500) -> Scatter:
    x = rng.normal(0, 1, n)
    return Scatter(
        title="estimate against exact",
        x=x,
        y=x * 0.7 + rng.normal(0, 0.3, n),
        labels=[f"L1.N{i}" for i in range(n)],
        x_label="estimate",
        y_label="exact",
    )


def scalars() -> Scalars:
    return Scalars(
        title="answer",
        items=[
            Scalar(name="log-prob of ' Paris'", value=-0.26, edited=-0.887, unit="nats", se=0.041, n=120),
            Scalar(name="rank", value=1, edited=3),
            Scalar(name="entropy", value=1.2034, unit="nats", help="of the next token"),
            Scalar(name="KL", value=None, edited=0.318),
        ],
    )


def text() -> Text:
    return Text(title="completion", text="Paris, the capital of France.\n" + NASTY + "\n" + "long words " * 40)


def every_kind() -> list[AnyView]:
    return [
        *(table(), tokens(), tokens(rows=1, signed=True), scalars(), text(), scatter()),
        *(lines(), lines(2000, bands=False), bars(), bars(60), histogram(), histogram(True)),
        *(heatmap(), heatmap(texts=False), heatmap(31, 40, texts=False, signed=True)),
    ]
