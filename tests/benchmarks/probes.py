"""Probes: every neuron's own and the k sweep of all layers, against loops over scikit-learn and TransformerLens' sweep.

Activations of the default model on the standard library's sources, label: the token has a digit, a capital or an
underscore. Both sides stop at the same largest derivative of the same loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.measure import Results, median

TRAIN, TEST = 2800, 1200
CONTEXT = 256
SAMPLE = 4
"""neurons of each layer that scikit-learn fits, evenly spaced"""
TL_LAYERS = (5, 15, 25)
ROUNDS = 3
SOLVERS = (("lbfgs", 1), ("lbfgs", 2), ("newton-cholesky", 1), ("newton-cholesky", 2))
"""scikit-learn's, each with so many threads of its BLAS: two are often slower than one on small problems"""
Solver = tuple[str, int]
STOP = 1e-4
STOP_SWEEP = 1e-7


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    layers, label = activations()
    train = torch.from_numpy(label[:TRAIN])
    print(f"{len(layers)} layers × {layers[0].shape[1]} neurons, {TRAIN} train and {TEST} test tokens, "
          f"{label.mean():.1%} with the label; {torch.get_num_threads()} threads", flush=True)  # fmt: skip
    single(results, [layer[:TRAIN] for layer in layers], train)
    sweep(results, layers, torch.from_numpy(label))
    against_transformer_lens(results, layers, torch.from_numpy(label))


def activations() -> tuple[list[torch.Tensor], np.ndarray]:
    """Of every layer's neurons, float32 [example, neuron], and labels; by plain hooks, position 0 left out."""
    from workbench.datasets.corpora import open_corpus
    from workbench.lab.finding.source import resolve
    from workbench.lab.indexing.build import tokenise
    from workbench.lab.model import load_lab

    model = load_lab(resolve("default")).model
    rows = []
    for _, ids in tokenise(model, open_corpus("stdlib")):
        rows += list(ids[: len(ids) // CONTEXT * CONTEXT].reshape(-1, CONTEXT)[:2])
        if len(rows) * (CONTEXT - 1) >= TRAIN + TEST:
            break
    taken: list[list[torch.Tensor]] = [[] for _ in model.hf.model.layers]
    hooks = [
        block.mlp.down_proj.register_forward_pre_hook(lambda _, args, to=to: to.append(args[0][0, 1:].clone()))
        for block, to in zip(model.hf.model.layers, taken, strict=True)
    ]
    with torch.inference_mode():
        for row in rows:
            model.hf.model(input_ids=torch.from_numpy(np.asarray(row, np.int64))[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    texts = [model.tokens.tokenizer.decode([token]) for row in rows for token in row[1:]][: TRAIN + TEST]
    label = np.array([any(c.isdigit() or c.isupper() or c == "_" for c in text) for text in texts])
    return [torch.cat(parts)[: TRAIN + TEST].clone() for parts in taken], label


def timed(sides: dict[str, Callable[[], Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds of each side, the median of interleaved rounds, and what each gave last."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gave: dict[str, Any] = {}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.perf_counter()
            gave[name] = side()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}, gave


def standardised(x: torch.Tensor) -> np.ndarray:
    wide = x.double().numpy()
    deviation = wide.std(axis=0)
    return np.asarray((wide - wide.mean(axis=0)) / np.where(deviation == 0, 1, deviation))


def fit_all(problems: list[np.ndarray], solver: Solver, label: np.ndarray, stop: float) -> list[Any]:
    """scikit-learn's fits of features [example, k] each."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    name, threads = solver
    with threadpool_limits(limits=threads, user_api="blas"):
        return [
            LogisticRegression(C=1, class_weight="balanced", solver=name, tol=stop, max_iter=5000).fit(x, label)
            for x in problems
        ]


def loss(x: np.ndarray, label: np.ndarray, weight: np.ndarray, intercept: float) -> float:
    """Balanced mean loss and penalty, C = 1."""
    z, n = x @ weight + intercept, len(label)
    share = np.where(label, n / 2 / label.sum(), n / 2 / (~label).sum())
    return float((share * np.logaddexp(0, np.where(label, -z, z))).mean() + (weight**2).sum() / (2 * n))


def single(results: Results, layers: list[torch.Tensor], label: torch.Tensor) -> None:
    from workbench.lab.probing.nulls import PermutationNull
    from workbench.lab.probing.single import aucs, fit_single, rank_rows

    neurons = sum(layer.shape[1] for layer in layers)
    units = np.linspace(0, layers[0].shape[1] - 1, SAMPLE).astype(int)
    columns = [np.ascontiguousarray(standardised(layer[:, units])[:, [at]]) for layer in layers for at in range(SAMPLE)]
    truth = label.numpy()
    fit_single(layers[0], label)
    sides: dict[str, Callable[[], Any]] = {"workbench": lambda: [fit_single(layer, label) for layer in layers]}
    for solver in SOLVERS:
        sides[str(solver)] = lambda solver=solver: fit_all(columns, solver, truth, STOP)
    seconds, gave = timed(sides)
    scaled = {solver: seconds[str(solver)] / len(columns) * neurons for solver in SOLVERS}
    best = min(SOLVERS, key=scaled.__getitem__)
    weight_error = loss_error = 0.0
    for at, column in enumerate(columns):
        layer, unit = divmod(at, SAMPLE)
        ours = gave["workbench"][layer]
        weight, intercept = float(ours.weight[units[unit]]), float(ours.intercept[units[unit]])
        converged = fit_all([column], ("newton-cholesky", 1), truth, 1e-11)[0]
        theirs = np.array([converged.coef_[0, 0], converged.intercept_[0]])
        weight_error = max(weight_error, float(np.abs(theirs - [weight, intercept]).max()))
        gap = loss(column, truth, np.array([weight]), intercept) - loss(column, truth, theirs[:1], theirs[1])
        loss_error = max(loss_error, abs(gap))
    ratio = scaled[best] / seconds["workbench"]
    times = ", ".join(f"{solver} ({threads}) {scaled[solver, threads]:.0f} s" for solver, threads in SOLVERS)
    print(f"neurons: workbench {seconds['workbench']:.2f} s; scikit-learn, {len(columns)} scaled to {neurons}: {times}")
    results.add(f"a probe of each of {neurons:,} neurons", f"≥ 50 × scikit-learn ({best[0]}), derivative {STOP}",
                f"{ratio:.0f} × ({seconds['workbench']:.2f} s)", ratio >= 50)  # fmt: skip
    results.add("the same at convergence", "weights to 1e-3, loss to 1e-6",
                f"{weight_error:.1e}, {loss_error:.1e}", weight_error <= 1e-3 and loss_error <= 1e-6)  # fmt: skip
    start = time.perf_counter()
    null = PermutationNull(truth, np.arange(len(truth)) // (CONTEXT - 1), seed=0)
    for layer in layers:
        ranks = rank_rows(layer)
        aucs(ranks, label[None])
        null.add(ranks)
    print(f"AUCs and 200 permutations of all neurons: {time.perf_counter() - start:.1f} s", flush=True)


def sweep(results: Results, layers: list[torch.Tensor], label: torch.Tensor) -> None:
    from sklearn.metrics import f1_score

    from workbench.lab.probing.sparse import KS, Split, fit_sparse, select_units

    split = Split(np.arange(TRAIN), np.arange(TRAIN, TRAIN), np.arange(TRAIN, TRAIN + TEST))
    truth, train = label.numpy(), label[:TRAIN].numpy()
    selected = select_units(layers, label, split)
    features = [part.double().numpy() for part in selected.train]
    # The fastest solver of each k, on one layer.
    fastest: dict[int, Solver] = {}
    for k in KS:
        problem = features[len(features) // 2][:, :k]
        sides = {str(s): lambda s=s, problem=problem: fit_all([problem], s, train, STOP_SWEEP) for s in SOLVERS}
        times, _ = timed(sides)
        fastest[k] = min(SOLVERS, key=lambda solver, times=times: times[str(solver)])
    seconds, gave = timed({
        "workbench": lambda: fit_sparse(selected, label, split, KS),
"scikit-learn": lambda: [fit_all([x[:, :k] for x in features], fastest[k], train, STOP_SWEEP) for k in KS],
    })  # fmt: skip
    test = selected.test.double().numpy()
    error = max(
        abs(f1_score(truth[TRAIN:], gave["workbench"].test[layer, at] > 0)
            - f1_score(truth[TRAIN:], gave["scikit-learn"][at][layer].predict(test[layer][:, :k])))
        for layer in range(len(layers)) for at, k in enumerate(KS)
    )  # fmt: skip
    ratio = seconds["scikit-learn"] / seconds["workbench"]
    print("solvers: " + ", ".join(f"{k} {solver} ({threads})" for k, (solver, threads) in fastest.items()))
    results.add(f"{len(KS)} k × {len(layers)} layers, ranked", "≥ 5 × scikit-learn's fastest solver, same F1 to .005",
                f"{ratio:.1f} × ({seconds['workbench']:.2f} and {seconds['scikit-learn']:.2f} s), F1 to {error:.4f}",
                ratio >= 5 and error <= 0.005)  # fmt: skip


def against_transformer_lens(results: Results, layers: list[torch.Tensor], label: torch.Tensor) -> None:
    from transformer_lens.tools.analysis.sparse_probing import sweep_sparse_probe

    from workbench.lab.probing.logistic import Logistic, feature_rows, fit_rows
    from workbench.lab.probing.scores import scores
    from workbench.lab.probing.sparse import KS

    theirs: dict[int, Any] = {}
    seconds = {"workbench": 0.0, "transformer_lens": 0.0}
    error = 0.0
    # Its training set's size is known once it has split.
    n_train = len(sweep_sparse_probe(layers[0], label, ks=[1], seed=0).results[0].train_indices)
    for layer in TL_LAYERS:
        x = layers[layer]
        start = time.perf_counter()
        theirs[layer] = sweep_sparse_probe(x, label, ks=KS, l2_strength=1 / n_train, seed=0, max_iter=2000)
        seconds["transformer_lens"] += time.perf_counter() - start
        rows, test = theirs[layer].results[0].train_indices, theirs[layer].results[0].test_indices
        start = time.perf_counter()
        inside = label[rows]
        train = x[rows]
        difference = train[inside].mean(dim=0) - train[~inside].mean(dim=0)
        order = difference.abs().argsort(descending=True, stable=True)[: KS[-1]]
        prepared = feature_rows(train[:, order][None])
        fits: list[Logistic] = []
        for k in KS:
            fits.append(fit_rows(prepared, inside, k, start=fits[-1] if fits else None))
        held_out = x[test][:, order][None].double()
        logits = np.concatenate([fit.logits(held_out[..., : fit.weight.shape[1]]) for fit in fits])
        ours = scores(logits, label[test].numpy(), np.arange(len(test))).f1
        seconds["workbench"] += time.perf_counter() - start
        error = max(error, float(np.abs(ours - [result.metrics.f1 for result in theirs[layer].results]).max()))
    ratio = seconds["transformer_lens"] / seconds["workbench"]
    took = f"{seconds['workbench']:.2f} and {seconds['transformer_lens']:.2f} s"
    results.add(f"{len(KS)} k × {len(TL_LAYERS)} layers, raw", "≥ 5 × sweep_sparse_probe, same F1 to .005",
                f"{ratio:.1f} × ({took}), F1 to {error:.4f}",
                ratio >= 5 and error <= 0.005)  # fmt: skip
