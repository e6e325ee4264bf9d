"""The lab: the model under the lamp. The only place that touches torch; everything it hands out is numpy.

`load_lab(source)` gives a `Lab`. `lab.job(edits, seed, report)` is the same model seen by one job: a light view with
its own edits, seed and report, so that a job run between another's batches never sees its state. That view is what an
experiment's `run(lab, params, report)` gets: `lab.edits`, `lab.seed`, `lab.info` and the methods of `Lab`.
Hooks exist only inside one `lab.forward` (or one step of `lab.generate`).

    model.py       Lab, load_lab                        loading.py   from a folder to a checked TransformerBridge
    prompts.py     text to tokens and back              sites.py     names of sites to hook points
    forward.py     one forward pass under edits         editing.py   edits to functions on activations
    metrics.py     numbers from logits                  clean.py     clean passes, kept
    generate.py    token by token                       lens.py      the logit lens
    reading.py     what units do over a prompt          controls.py  matched random controls of an edit
    batches.py     batches that halve when memory ends  cache.py     activations for a notebook
    run.py         `execute`: one experiment by its name

Nothing is imported here: `workbench.lab.source` has to stay usable without torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.lab.model import Lab as Lab
