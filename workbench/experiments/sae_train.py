"""Train a small sparse autoencoder at a site of the model.

Activations of a corpus are taken once, position 0 left out, into a store in the cache that other widths and kinds at
the same site read as well. Then the SAE sees them several times in shuffled order: top-k or batch-top-k, with the
auxiliary loss for dead features. Cancelling keeps what is done, and the same command goes on to the same numbers. It
is saved in SAELens' format under its name, and measured on documents that it has not seen, as `sae-check` does: it is
undertrained below .8 of the cross-entropy recovered, or above 10 % dead features.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.activations import site_width, store_bytes
from workbench.artifacts.sae import SaeConfig, check_free, content_of, default_name, hook_of, register
from workbench.experiment import Cost, Experiment, Held
from workbench.experiments._sae_quality import add_quality, describe
from workbench.experiments._sae_train import (
    Params,
    add_curves,
    last_point,
    settings_table,
    site_of,
    state_so_far,
    width_of,
)
from workbench.params import params_builtins
from workbench.report import NextStep, Report
from workbench.text import count, number, seconds

if TYPE_CHECKING:
    from workbench.artifacts import Artifact
    from workbench.artifacts.activations import Store
    from workbench.datasets.corpora import Corpus
    from workbench.lab import Lab
    from workbench.lab.sae.documents import Documents
    from workbench.lab.sae.running import Run
    from workbench.model_info import ModelInfo

QUALITY_PASSES = 4
STEP_PRODUCTS = 1.5
"""a step's work, in products with W_enc"""
COPIES = 8
"""of a matrix of the SAE in training: both matrices with two moments of Adam and a gradient each"""


def cost(params: Params, info: ModelInfo) -> Cost | None:
    context = min(params.context, info.n_ctx)
    site = site_of(params, info)
    per_token = STEP_PRODUCTS * width_of(params, info) * site_width(info, site.name)
    weights = info.n_parameters or 12 * info.n_layers * info.d_model**2
    tokens = params.tokens * ((site.layer + 1) / info.n_layers + params.passes * per_token / weights)
    tokens += QUALITY_PASSES * params.held_out
    disk = store_bytes(site_width(info, site.name), 1, params.tokens)
    return Cost(passes=tokens / context, tokens=context, disk=disk, typical=False)


def holds(params: Params, info: ModelInfo) -> list[Held]:
    width, numbers = width_of(params, info), site_width(info, site_of(params, info).name)
    needed = 4 * width * (COPIES * numbers + 3 * params.batch)
    what = f"training {count(width)} features of {count(numbers)} numbers"
    return [Held(what=what, bytes=needed, cure="a smaller --width")]


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.datasets.corpora import open_corpus
    from workbench.lab.probing.store import take
    from workbench.lab.sae.documents import split_documents
    from workbench.lab.sae.placing import place
    from workbench.lab.sae.quality import measure
    from workbench.lab.sae.reading import read_sae

    # What can't be is said before minutes are spent.
    site, config = site_of(params, lab.info), _config(lab, params)
    name = check_free(params.name or default_name(config))
    corpus = open_corpus(params.corpus)
    documents = split_documents(lab, corpus, params.tokens, params.held_out, params.context)
    _note_documents(report, corpus, documents, params)
    label = f"corpus {corpus.info.name}"
    with take(lab, documents.examples, site.name, [site.layer], report, data_set=label) as store:
        artifact, trained = _train(lab, params, report, name, config, corpus, store)
    report.uses(content_of(artifact), artifact.name, "made")
    report.say(f"{artifact.name} is trained, on {count(trained.total)} tokens, and not measured yet")
    step = NextStep(label="how good it is on other documents", experiment="sae-check", params={"sae": artifact.name})
    report.suggest(step)
    placed = place(lab.model, read_sae(Path(artifact.path), source=artifact.name).sae)
    quality = measure(lab.model, placed, documents.held_out, report)
    sample = f"{count(quality.n)} held-out tokens of {count(len(documents.held_out))} documents of {params.corpus}"
    report.say(f"{artifact.name}: {describe(quality, sample)}")
    add_quality(report, quality, str(placed.site_out), sample)
    for scalar, value in last_point(trained).items():
        report.scalar(scalar, value)
    report.add("settings", settings_table(_facts(params, documents, trained, artifact), artifact.name))
    same_text = {"sae": artifact.name, "corpus": params.corpus, "context": params.context}
    report.suggest(NextStep(label="does it hurt more than chance", experiment="sae-errors", params=same_text))


def _config(lab: Lab, params: Params) -> SaeConfig:
    info, site = lab.info, site_of(params, lab.info)
    numbers = site_width(info, site.name)
    return SaeConfig(
        kind=params.kind,
        d_in=numbers,
        d_sae=width_of(params, info),
        d_out=numbers,
        k=params.k,
        subtracts_b_dec=True,
        flattens_heads=site.name == "z",
        model=info.name,
        hook=hook_of(str(site)),
        prepends_bos=info.bos_token is not None,
        context=min(params.context, info.n_ctx),
    )


def _note_documents(report: Report, corpus: Corpus, documents: Documents, params: Params) -> None:
    n = len(documents.examples)
    report.note(
        f"{corpus.info.name}, hash {corpus.info.hash[:12]}: trained on {count(n)} tokens of "
        f"{count(documents.n_documents)} documents, position 0 of every window left out; "
        f"{count(len(documents.held_out))} other documents are held out"
    )
    if n < params.tokens:
        report.note(
            f"the corpus has no more than {count(n)} of the {count(params.tokens)} tokens"
            + (": stdlib:code has more" if params.corpus.strip() == "stdlib" else "")
        )


def _train(
    lab: Lab, params: Params, report: Report, name: str, config: SaeConfig, corpus: Corpus, store: Store
) -> tuple[Artifact, Run]:
    from workbench.lab.sae.kinds import make_sae
    from workbench.lab.sae.reading import write_sae
    from workbench.lab.sae.running import Run
    from workbench.lab.sae.training import Settings

    n = store.head.examples
    batch = min(params.batch, n)
    settings = Settings(
        kind=params.kind,
        width=config.d_sae,
        k=params.k,
        steps=max(1, n * params.passes // batch),
        batch=batch,
        rate=params.rate,
        warm_up=params.warm_up,
        decay=params.decay,
        auxiliary=params.auxiliary,
        dead_after=params.dead_after,
        seed=lab.seed,
    )
    runs: list[Run] = []

    def write(folder: Path) -> None:
        run = Run(store.layer(store.head.layers[0]), settings, folder, store.head.key, lab.info.device)
        runs.append(run)
        factor = run.training.scaling.factor
        report.note(
            f"activations are multiplied with {number(factor)}, to a mean norm of √{config.d_in}, in training; "
            "that is folded into the weights"
        )
        if run.left:
            report.note(
                f"begins anew: the unfinished training that was under the name {name} has other settings ({run.left}); "
                "its checkpoint is replaced"
            )
        if run.tokens:
            report.note(f"goes on after {count(run.tokens)} tokens that were trained on before")

        def when_changed(changed: Run) -> None:
            report.say(state_so_far(changed, config.describe))
            add_curves(report, changed, params)

        if run.history.points:
            when_changed(run)
        run.run(report, when_changed)
        facts = _provenance(lab, params, corpus, run)
        write_sae(make_sae(config, run.finish()), folder, training=facts)

    artifact = register(name, config, write, fingerprint=lab.info.fingerprint, resumable=True)
    return artifact, runs[0]


def _provenance(lab: Lab, params: Params, corpus: Corpus, run: Run) -> dict[str, Any]:
    """What cfg.json says of the training."""
    return {
        **params_builtins(params),
        "corpus_hash": corpus.info.hash,
        "different_tokens": run.n,
        "activation_factor": run.training.scaling.factor,
        "seed": lab.seed,
        "model_fingerprint": lab.info.fingerprint,
        "model_dtype": lab.info.dtype,
    }


def _facts(params: Params, documents: Documents, run: Run, artifact: Artifact) -> list[tuple[str, str]]:
    settings = run.settings
    return [
        ("tokens", f"{count(run.n)} different ones of {count(documents.n_documents)} documents, {params.corpus}"),
        ("seen", f"{count(run.total)} in {count(settings.steps)} steps of {count(settings.batch)}"),
        ("held out", f"{count(len(documents.held_out))} documents"),
        ("features", f"{count(settings.width)}, {count(settings.k)} a token ({settings.kind})"),
        ("learning rate", f"{settings.rate:g}, up in {number(settings.warm_up)}, down in {number(settings.decay)}"),
        (
            "dead features",
            f"silent for {number(settings.dead_after)} of the run; auxiliary loss × {settings.auxiliary:g}",
        ),
        ("activations", f"multiplied with {number(run.training.scaling.factor)} in training, folded into the weights"),
        ("time", f"{seconds(run.seconds)} of steps, {count(run.rate)} tokens/s"),
        ("hash", artifact.hash[:12]),
        ("in", artifact.path),
    ]


EXPERIMENT = Experiment(
    name="sae-train",
    help=__doc__,
    params=Params,
    run=run,
    group="saes",
    order=81,
    takes_edits=False,
    long=True,
    cost=cost,
    holds=holds,
)
