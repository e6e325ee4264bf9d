"""What `sae-errors` shows beside the means: one position edited alone, scaled features, several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._common import number_or_none
from workbench.experiments._sae_errors_arms import ARMS, BASELINES, CHANCE, SHOWN
from workbench.statistics import NORMAL_95, clustered_mean
from workbench.text import count, number, show_token
from workbench.views import Column, Histogram, Level, Lines, Mark, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.sae.errors import Studied
    from workbench.lab.sae.one_position import Following, Tail
    from workbench.lab.sae.record import Record

BINS = 32
TAIL = 0.95
"""of the draws are smaller: then the SAE's KL is on their tail"""


def following(found: Following) -> Lines:
    """KL at the edited position and behind it."""
    series = []
    for key in SHOWN:
        kl = found.kl[key]
        owners = np.unique(found.documents, return_inverse=True)[1]
        counts = np.bincount(owners)
        means = [clustered_mean(np.bincount(owners, column), counts) for column in kl.T]
        y = np.asarray([mean.value for mean in means])
        reach = NORMAL_95 * np.asarray([mean.se for mean in means])
        series.append(Series(name=ARMS[key].name, y=y, low=np.maximum(y - reach, y / 10), high=y + reach))
    return Lines(
        title=f"Position {found.position} edited alone: KL there and behind it",
        note=f"{count(len(found.documents))} windows; 95 % bands, by document, cut at a tenth of the mean; {CHANCE}",
        x=np.arange(found.kl["sae"].shape[1], dtype=np.float64),
        series=series,
        x_label="positions behind the edited one",
        y_label="KL, nats",
        log_y=True,
    )


def draws(lab: Lab, record: Record, tail: Tail, position: int) -> Histogram:
    """Random errors at one token, the SAE's KL among them."""
    every = np.concatenate([tail.sae * np.ones(1), *tail.draws.values()])
    every = np.maximum(every, 1e-12)
    edges = np.geomspace(every.min() * 0.999, every.max() * 1.001, BINS + 1)
    token = show_token(lab.token(int(record.ids[tail.window, position])))
    parts = [
        f"{number(100 * tail.place(kind).percentile)} % of {count(len(values))} {ARMS[kind].name} draws"
        for kind, values in tail.draws.items()
    ]
    return Histogram(
        title=f"Errors drawn for {token} alone, at position {position}",
        note=f"the SAE's KL is larger than {' and '.join(parts)}; {CHANCE}",
        edges=edges,
        series=[
            Series(name=ARMS[kind].name, y=np.histogram(values, edges)[0].astype(np.float64))
            for kind, values in tail.draws.items()
        ],
        x_label="KL, nats",
        log_x=True,
        marks=[Mark(x=float(max(tail.sae, 1e-12)), label="SAE")],
    )


def tails(lab: Lab, record: Record, found: Sequence[Tail], position: int) -> Table:
    """Many tokens: the SAE's percentile among its draws."""
    rows: list[list[Any]] = []
    for tail in found:
        row: list[Any] = [lab.token(int(record.ids[tail.window, position])), tail.sae]
        for kind, values in tail.draws.items():
            row += [float(np.median(values)), float(values.std() / values.mean()), tail.place(kind).percentile]
        rows.append(row)
    shares = [f"{on_tail(found, kind)} of {len(found)} ({ARMS[kind].name})" for kind in found[0].draws]
    columns = [Column(key="token", name="token", kind="token"), Column(key="sae", name="KL SAE", kind="number")]
    for kind in found[0].draws:
        key, name = kind.replace("-", "_"), ARMS[kind].name
        columns += [
            Column(key=f"{key}_median", name=f"{name}: median", kind="number"),
            Column(key=f"{key}_spread", name="sd ÷ mean" + " " * (kind != "eps"), kind="number", gives_way="early",
                   help="how variable the draws are"),
            Column(key=f"{key}_percentile", name=f"above {name}", kind="probability", gives_way="never",
                   help="share of the draws that are smaller than the SAE's KL"),
        ]  # fmt: skip
    n = len(next(iter(found[0].draws.values())))
    return Table(
        title="How often the SAE's KL is on the tail",
        note=f"above {100 * TAIL:.0f} % of {count(n)} draws for {', '.join(shares)} tokens; chance is "
        f"{number(100 * (1 - TAIL))} %; position {position} alone is edited",
        columns=columns,
        rows=rows,
    )


def on_tail(found: Sequence[Tail], kind: str) -> int:
    """How many tokens' KL is above TAIL of the draws."""
    return sum(tail.place(kind).percentile > TAIL for tail in found)


def top(lab: Lab, record: Record, tail: Tail, position: int) -> Table:
    """The next token's log-probabilities, clean and with the position edited."""
    names = {"clean": "clean", **{key: ARMS[key].name for key in SHOWN}}
    token = show_token(lab.token(int(record.ids[tail.window, position])))
    return Table(
        title=f"Next token after {token} at position {position}",
        note=f"log p of the clean model's {len(tail.top)} top predictions; that position alone is edited; one draw of "
        "each random error",
        columns=[
            Column(key="token", name="token", kind="token"),
            *(
                Column(key=key.replace("-", "_"), name=name, kind="logprob", quantity="log p, nats")
                for key, name in names.items()
            ),
        ],
        rows=[
            [lab.token(int(token_id)), *(float(tail.log_probs[key][at]) for key in names)]
            for at, token_id in enumerate(tail.top)
        ],
    )


def factors(each: Studied) -> Table:
    """Scaled features on documents that no factor was fitted on, beside the norm patch."""
    assert each.factors is not None
    keys = ["sae", "one-factor", "feature-factors", "norm-corrected", "eps", "eps-sigma"]
    windows, record = each.judged, each.record
    fired = each.factors.each[each.factors.fired]
    low, middle, high = (float(value) for value in np.quantile(fired.cpu().numpy(), (0.05, 0.5, 0.95)))
    rows: list[list[Any]] = []
    for key in keys:
        kl = record.mean_kl(key, windows)
        ratio = record.ratio("sae", windows, of=key)
        ratio_se = number_or_none(ratio.se) if key != "sae" else None
        rows.append([ARMS[key].name, kl.value, kl.se, number_or_none(ratio.value), ratio_se])
    judged = len(np.unique(record.documents[windows]))
    return Table(
        title="Features rescaled",
        note=f"factors fitted on {count(each.factors.tokens)} tokens of other documents: one for all "
        f"{number(float(each.factors.one))}; of each feature median {number(middle)} (5–95 %: {number(low)}–"
        f"{number(high)}, {count(len(fired))} features that fire); KLs over {count(judged)} held-out documents",
        columns=[
            Column(key="put", name="in place of x"),
            Column(key="kl", name="KL", kind="number", quantity="nats"),
            Column(key="kl_se", name="±", kind="number", help="SE, clustered by document"),
            Column(key="ratio", name="÷ SAE", kind="number", help="ratio of mean KLs, row over SAE"),
            Column(key="ratio_se", name="± ", kind="number"),
        ],
        rows=rows,
        row_keys=keys,
    )


def layers(saes: Sequence[Studied], sample: str) -> tuple[Lines, Table]:
    """Several SAEs: the ratio against each baseline by layer, and a row for each SAE."""
    series = []
    for key in BASELINES:
        ratios = [each.record.ratio(key) for each in saes]
        y = np.asarray([ratio.value for ratio in ratios])
        reach = NORMAL_95 * np.asarray([ratio.se for ratio in ratios])
        series.append(Series(name=ARMS[key].name, y=y, low=y - reach, high=y + reach))
    lines = Lines(
        title="KL of each SAE over that of other errors at the same distance",
        note=f"95 % bands, by document; {CHANCE}; {sample}",
        x=np.arange(len(saes), dtype=np.float64),
        x_ticks=[str(each.placed.site_out) for each in saes],
        series=series,
        x_label="site",
        y_label="SAE ÷ baseline",
        levels=[Level(y=1.0, label="no worse")],
    )
    rows: list[list[Any]] = []
    for each in saes:
        record = each.record
        row: list[Any] = [each.name, str(each.placed.site_out), record.mean_kl("sae").value]
        for key in ("eps", "eps-sigma"):
            ratio = record.ratio(key)
            row += [number_or_none(ratio.value), number_or_none(ratio.se)]
        row += [record.increase("sae").value, each.explained.value, record.recovered("zero").value, 100 * each.dead]
        rows.append(row)
    table = Table(
        title="SAEs",
        note=f"ratios are of mean KLs at the same distance; {sample}",
        columns=[
            Column(key="sae", name="SAE", gives_way="never"),
            Column(key="site", name="site"),
            Column(key="kl", name="KL", kind="number", quantity="nats"),
            Column(key="eps", name="÷ ε-random", kind="number", gives_way="never"),
            Column(key="eps_se", name="±", kind="number", gives_way="never"),
            Column(key="eps_sigma", name="÷ ε-Σ", kind="number", gives_way="never"),
            Column(key="eps_sigma_se", name="± ", kind="number", gives_way="never"),
            Column(key="increase", name="loss +", kind="signed", quantity="nats"),
            Column(key="explained", name="explained", kind="number", help="share of the variance"),
            Column(key="recovered", name="recovered", kind="number", help="cross-entropy recovered, against zero"),
            Column(key="dead", name="dead %", kind="number"),
        ],
        rows=rows,
    )
    return lines, table


def by_layer(saes: Sequence[Studied], quantity: str, sample: str) -> Lines:
    """Mean KL, or the loss' increase, of every substitution at every site."""
    series = []
    for key in ARMS:
        if key in ("one-factor", "feature-factors", "zero", "mean"):
            continue
        means = [each.record.mean_kl(key) if quantity == "KL" else each.record.increase(key) for each in saes]
        y = np.asarray([mean.value for mean in means])
        reach = NORMAL_95 * np.asarray([mean.se for mean in means])
        series.append(Series(name=ARMS[key].name, y=y, low=y - reach, high=y + reach))
    same = ", ".join(ARMS[key].name for key in ("sae", *BASELINES))
    return Lines(
        title=f"{quantity} by site and substitution",
        note=f"at the same distance: {same}; the others are not; 95 % bands, by document; {sample}",
        x=np.arange(len(saes), dtype=np.float64),
        x_ticks=[str(each.placed.site_out) for each in saes],
        series=series,
        x_label="site",
        y_label=f"{quantity}, nats",
    )
