"""What `sae-errors` shows of one SAE over many tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._common import number_or_none
from workbench.experiments._sae_errors_arms import ARMS, BASELINES, CHANCE, SHOWN
from workbench.statistics import NORMAL_95, Mean, spearman
from workbench.text import NOTHING, count, number, show_token
from workbench.views import Column, Histogram, Lines, Scalar, Scalars, Scatter, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.sae.errors import Studied
    from workbench.lab.sae.record import Record

BINS = 48
SCATTERED = 1_000
"""tokens of the scatter and of the table of single tokens, at random"""
RARE = 3
"""a token that occurs less often is in no table of tokens: its mean says nothing"""
GAPS = 40
"""tokens of that table"""


def interval(mean: Mean) -> str:
    """`2.52 (2.4–2.64)`, 95 %; the value alone where there is no error, and a dash where there is none at all."""
    if np.isnan(mean.se):
        return number(mean.value)
    low, high = (mean.value + sign * NORMAL_95 * mean.se for sign in (-1, 1))
    return f"{number(mean.value)} ({number(low)}–{number(high)})"


def times(record: Record, key: str) -> str:
    """`2.52 (2.4–2.64) times ε-random`; of KLs that are no more than rounding, that there is no such number."""
    ratio = record.ratio(key)
    if np.isnan(ratio.value):
        return f"no ratio to {ARMS[key].name} (a KL within rounding, {number(record.rounding)})"
    return f"{interval(ratio)} times {ARMS[key].name}"


def floor_note(record: Record) -> str:
    """What rounding makes, and which rows are no more than that."""
    within = [ARMS[key].name for key in ("sae", *BASELINES) if not record.mean_kl(key).value > record.rounding]
    flagged = f"; within it, so without a ratio: {', '.join(within)}" if within else ""
    return f"rounding alone makes a KL of {number(record.rounding)}{flagged}"


def substitutions(each: Studied, sample: str) -> Table:
    """Every substitution by its KL and loss; ratios where the distance is the SAE's."""
    record = each.record
    rows: list[list[Any]] = []
    keys = [key for key in ARMS if key not in ("one-factor", "feature-factors")]
    for key in keys:
        kl, increase = record.mean_kl(key), record.increase(key)
        ratio = record.ratio(key) if key in BASELINES else None
        moved = record.moved[key][record.done]
        rows.append(
            [
                ARMS[key].name,
                kl.value,
                _known(kl.se),
                number_or_none(ratio.value) if ratio else None,
                _known(ratio.se) if ratio else None,
                increase.value,
                _known(increase.se),
                float(moved.mean()),
                "same" if ARMS[key].same_distance else "other",
                ARMS[key].formula,
            ]
        )
    return Table(
        title=f"In place of x at {each.placed.site_out}",
        note=f"ratios are SAE over row, of rows at the same distance ‖s − x‖ from x alone; {sample}; "
        f"errors cluster by document; {floor_note(record)}",
        columns=[
            Column(key="put", name="in place of x", gives_way="never"),
            Column(key="kl", name="KL", kind="number", help="KL(clean ‖ edited), mean over tokens", quantity="nats"),
            Column(key="kl_se", name="±", kind="number", help="SE of the KL, clustered by document"),
            Column(
                key="ratio", name="SAE ÷ row", kind="number", help=f"ratio of mean KLs; {CHANCE}", gives_way="never"
            ),
            Column(key="ratio_se", name="± ", kind="number", help="SE of the ratio", gives_way="never"),
            Column(key="increase", name="loss +", kind="signed", help="cross-entropy more than clean", quantity="nats"),
            Column(key="increase_se", name="±  ", kind="number", help="SE of the increase"),
            Column(key="distance", name="distance", kind="number", help="mean ‖put − x‖", gives_way="early"),
            Column(key="same", name="as s", help="whether it is as far from x as s is", gives_way="late"),
            Column(key="formula", name="formula", gives_way="early"),
        ],
        rows=rows,
        row_keys=keys,
    )


def _known(se: float) -> float | None:
    return None if np.isnan(se) else se


def quality(each: Studied, sample: str) -> Scalars:
    """What a ratio has to be read beside."""
    record = each.record
    token = {name: record.mean(values) for name, values in record.token.items()}
    recovered = record.recovered("zero")
    clean = record.mean(record.loss["clean"])
    items = [
        Scalar(name="explained variance", value=each.explained.value, help="1 − Σ‖x − s‖² / Σ‖x − x̄‖²"),
        Scalar(
            name="cross-entropy recovered, against zero",
            value=recovered.value,
            se=recovered.se,
            n=recovered.n,
            help="(CE_zero − CE_sae) / (CE_zero − CE_clean)",
        ),
        Scalar(name="dead features", value=each.dead, help="share that never fires on these tokens"),
        Scalar(name="cross-entropy, clean", value=clean.value, unit="nats", se=clean.se, n=clean.n),
        *(
            Scalar(name=name, value=token[key].value, se=token[key].se, n=token[key].n)
            for key, name in (
                ("l0", "features that fire on a token (L0)"),
                ("l1", "sum of activations (L1)"),
                ("distance", "‖s − x‖"),
                ("norm", "‖x‖"),
                ("sae_norm", "‖s‖"),
                ("cosine", "cos(s, x)"),
            )
        ),
    ]
    return Scalars(title="The SAE on these tokens", note=f"means over tokens; {sample}", items=items)


def distribution(record: Record, sample: str) -> Histogram:
    """How KLs are spread over tokens."""
    values = {key: _counted(record, key) for key in SHOWN}
    positive = np.concatenate([each[each > 0] for each in values.values()])
    low, high = (positive.min(), positive.max()) if len(positive) else (1e-9, 1.0)
    edges = np.geomspace(max(low, 1e-9), max(high, 2e-9) * 1.001, BINS + 1)
    return Histogram(
        title="KL of single tokens",
        note=f"{CHANCE}; {sample}",
        edges=edges,
        series=[
            Series(name=ARMS[key].name, y=np.histogram(np.maximum(each, edges[0]), edges)[0].astype(np.float64))
            for key, each in values.items()
        ],
        x_label="KL, nats",
        log_counts=True,
        log_x=True,
    )


def _counted(record: Record, key: str) -> np.ndarray:
    values = record.kl[key][record.done].astype(np.float64)
    return np.asarray(values[~np.isnan(values)])


def positions(record: Record, sample: str) -> Lines:
    """Mean KL at every position of the windows."""
    series = []
    x = np.arange(record.first, record.last + 1)
    for key in SHOWN:
        means, errors = (each[x] for each in record.by_position(record.kl[key]))
        reach = NORMAL_95 * errors
        series.append(Series(name=ARMS[key].name, y=means, low=means - reach, high=means + reach))
    return Lines(
        title="KL by position",
        note=f"95 % bands, by document; {CHANCE}; {sample}",
        x=x.astype(np.float64),
        series=series,
        x_label="position",
        y_label="KL, nats",
    )


def tokens(lab: Lab, record: Record) -> tuple[Table, float]:
    """Tokens by the gap between the SAE's KL and ε-random's, with counts and errors; and Spearman's correlation of a
    token's frequency with its gap."""
    ids, n, gap, errors = record.by_token(record.kl["sae"] - record.kl["eps"])
    frequency = spearman(n.astype(np.float64), gap) if len(ids) > 2 else float("nan")
    often = np.flatnonzero((n >= RARE) & ~np.isnan(errors))
    chosen = often[np.argsort(-np.abs(gap[often]), kind="stable")][:GAPS]
    table = Table(
        title="Tokens where the SAE and ε-random differ most",
        note=f"mean KL of the SAE less that of ε-random, after tokens that occur {RARE} times or more; rare ones have "
        f"large gaps of either sign by chance: look at ±; frequency and gap correlate by {number(frequency)} "
        f"(Spearman, {count(len(ids))} tokens)",
        columns=[
            Column(key="token", name="token", kind="token"),
            Column(key="n", name="n", kind="int"),
            Column(key="gap", name="gap", kind="signed", quantity="nats"),
            Column(key="se", name="±", kind="number", help="SE, clustered by document", gives_way="never"),
        ],
        rows=[[lab.token(int(ids[at])), int(n[at]), float(gap[at]), float(errors[at])] for at in chosen],
    )
    return table, frequency


def single_tokens(lab: Lab, record: Record, seed: int) -> tuple[Scatter, Table]:
    """Some tokens at random: KL of the SAE against ε-random, and all that is known of each."""
    windows = record.windows()
    pairs = np.argwhere(~np.isnan(record.kl["sae"][windows]))
    random = np.random.default_rng(seed)
    some = np.sort(random.choice(len(pairs), min(SCATTERED, len(pairs)), replace=False))
    window, position = windows[pairs[some, 0]], pairs[some, 1]

    def at(values: np.ndarray) -> np.ndarray:
        return np.asarray(values[window, position], np.float64)

    names = [lab.token(int(token)) for token in record.ids[window, position]]
    kls = {key: at(record.kl[key]) for key in SHOWN}
    x, y = (np.log10(np.maximum(kls[key], 1e-9)) for key in ("eps", "sae"))
    scatter = Scatter(
        title="KL of the SAE against ε-random, token by token",
        note=f"{count(len(some))} tokens at random; the SAE's is larger for {number(100 * float((y > x).mean()))} % "
        f"of them; correlation {number(float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 else float('nan'))}",
        x=x,
        y=y,
        labels=[show_token(name) for name in names],
        x_label="log₁₀ KL, ε-random",
        y_label="log₁₀ KL, SAE",
    )
    numbers = [*kls.values(), *(at(record.loss[key]) for key in ("clean", "sae")), *map(at, record.token.values())]
    headings = [
        *((f"kl_{key}".replace("-", "_"), f"KL {ARMS[key].name}") for key in SHOWN),
        ("loss_clean", "loss clean"),
        ("loss_sae", "loss SAE"),
        *((key, name) for key, name in zip(record.token, ("L0", "L1", "‖s−x‖", "‖x‖", "‖s‖", "cos"), strict=True)),
    ]
    rows = [
        [name, int(position[row]), *(_known(float(column[row])) for column in numbers)]
        for row, name in enumerate(names)
    ]
    table = Table(
        title="Single tokens",
        note=f"{count(len(some))} at random; {NOTHING} where the window ends and no next token is known",
        columns=[
            Column(key="token", name="token", kind="token"),
            Column(key="position", name="position", kind="position"),
            *(Column(key=key, name=name, kind="number") for key, name in headings),
        ],
        rows=rows,
    )
    return scatter, table
