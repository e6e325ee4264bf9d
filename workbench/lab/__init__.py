"""The lab: the model under the lamp. The only place that touches torch; everything it hands out is numpy.

`load_lab(source)` gives a `Lab`. `lab.job(edits, seed, report)` is the same model seen by one job: a light view with
its own edits, seed and report, so that a job run between another's batches never sees its state. That view is what an
experiment's `run(lab, params, report)` gets: `lab.info`, `lab.edits`, `lab.seed`, `lab.prompt`, `lab.forward`,
`lab.plan`. What goes beyond is a function that takes a lab, in the file of its subject: `generate(lab, prompt)`,
`lens(lab, prompt)`, `study(lab, prompt)`. Hooks exist only inside one `passes.run_pass`.

    finding/        a model's name to its folder         loading.py       a folder to a checked TransformerBridge
    indexing/       what every neuron does on a corpus   neurons.py       the index, built and asked
    model.py        Lab, load_lab                        loaded.py        the model as data, shared by all jobs
    passes.py       the one way through the model        batches.py       how many rows at once; halves when memory ends
    prompts.py      text to tokens and back              sites.py         names of sites to hook points
    editing.py      edits to plans of changes            applying.py      plans to hooks on activations
    values.py       means, resamples, patches            directions/      named directions, and what they are made of
    forward.py      prompts through the model            clean.py         clean passes, kept
    generate.py     many rows, token by token            continuation.py  what was generated
    trace.py        a prompt kept block by block         study.py         what its parts do
    attribution.py  gradient estimates                   dla.py           direct logit attribution
    controls.py     matched random controls of an edit   contrast.py      the prompts behind a direction
    metrics.py      numbers from logits                  lens.py          the logit lens
    reading.py      what units do over a prompt          cache.py         activations for a notebook
    speed.py        how fast the device reads            effective.py     weights with the norms around them
    steering.py     what steered rows say, measured by the unedited model

Nothing is imported here: `workbench.lab.finding.source` has to stay usable without torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.lab.model import Lab as Lab
