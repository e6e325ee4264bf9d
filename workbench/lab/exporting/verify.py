"""Whether the copy that was written does what the edited model does: its logits beside the hooked model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.edits import ParsedEdit
from workbench.errors import UserError
from workbench.lab.exporting.weight_edits import WeightEdits
from workbench.lab.finding.source import ModelSource
from workbench.lab.forward import run_forward
from workbench.lab.loading import load_model
from workbench.lab.metrics import kl
from workbench.lab.model import Lab
from workbench.lab.progress import silent
from workbench.lab.prompts import Prompt
from workbench.lab.rounding import DRAWS_OF_SETS, rounding_plans
from workbench.lab.strength import sample_prompts
from workbench.report import Report
from workbench.units import Site

TEXTS = 4
"""of the workbench's own sample text"""
LENGTH = 48
"""tokens of each at most"""
CHATS = ("What is the capital of France?", "Write two sentences about the sea.")
"""in the chat template, where there is one"""
LEFT = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
"""of the stream's norm, what may be left along a direction: rounding leaves less, another writer more"""


@dataclass(frozen=True)
class Expected:
    """The edited model on the texts."""

    prompts: list[Prompt]
    logits: list[torch.Tensor]
    """of each text, float32 on the CPU, [position, vocabulary]"""
    effect: float
    """mean KL(unedited ‖ edited), nats"""
    floor: float
    """largest KL that rounding alone makes in the unedited model, nats"""

    @property
    def tokens(self) -> int:
        return sum(map(len, self.prompts))


@dataclass(frozen=True)
class Difference:
    """The written copy beside the edited model."""

    logits: float
    """the largest of a token, in standard deviations of that position's logits"""
    kl: float
    """KL(edited ‖ copy) of the worst position, nats"""
    mean_kl: float
    left: float
    """the largest share of the stream's norm that is left along a direction behind any block; 0 without directions"""


def expected(lab: Lab, edits: Sequence[ParsedEdit], report: Report) -> Expected:
    """Runs the model with `edits` as hooks. Raises UserError where the model does not allow them."""
    prompts = verify_prompts(lab)
    logits, effects = [], []
    floors: list[float] = []
    for prompt in report.track(prompts, "texts", stage="the edited model"):
        clean, edited = (lab.forward(prompt, stack) for stack in ((), edits))
        assert edited.logits is not None
        logits.append(edited.logits[0].float().cpu())
        effects.append(edited.kl_from(clean)[0])
        if not floors:
            plans = rounding_plans(lab.plan(()), lab.info.n_layers, DRAWS_OF_SETS, lab.seed)
            floors = [float(lab.forward(prompt, plan).kl_from(clean)[0].max()) for plan in plans]
    return Expected(prompts, logits, float(np.concatenate(effects).mean()), max(floors))


def compare(lab: Lab, folder: Path, expectation: Expected, edits: WeightEdits, report: Report) -> Difference:
    """Loads what was written, as anybody would, on the CPU. Raises UserError where it can't be loaded.

    Also where something is left along a direction that was projected out.
    """
    copy = load_model(
        ModelSource(name=folder.name, ref=str(folder), path=folder, origin="folder"), "cpu", lab.info.dtype, silent
    )
    copy.cancel_check = lab.cancel_check
    sites = [Site(layer, "resid_post") for layer in range(copy.info.n_layers)] if edits.directions else []
    differences, kls, left = [], [], 0.0
    for at, prompt in enumerate(report.track(expectation.prompts, "texts", stage="the written copy")):
        passed = run_forward(copy, [prompt], capture=sites)
        assert passed.logits is not None
        logits, hooked = passed.logits[0].float(), expectation.logits[at]
        differences.append(float(((logits - hooked).abs().amax(-1) / hooked.std(-1)).max()))
        kls.append(kl(hooked, logits).numpy())
        for site in sites:
            stream = passed.captured[site][0].float()
            along = (stream @ edits.matrix.T).abs().amax(-1) / stream.norm(dim=-1)
            left = max(left, float(along.max()))
    if left > LEFT[copy.info.dtype]:
        raise UserError(
            f"the copy still writes {left:.1%} of its stream's norm along {_names(edits)}: {lab.info.architecture} has "
            f"a part that writes into the stream beside embeddings, attention and MLPs, so that weights alone can't "
            f"project a direction out of it. Nothing was written"
        )
    every = np.concatenate(kls)
    return Difference(max(differences), float(every.max()), float(every.mean()), left)


def _names(edits: WeightEdits) -> str:
    return ", ".join(f"@{name}" for name in edits.directions)


def verify_prompts(lab: Lab) -> list[Prompt]:
    """The texts of a verification: windows of the fixed text, and two questions in the chat template."""
    windows = [Prompt("", window.ids[:LENGTH], [], window.bos, False) for window in sample_prompts(lab.model)[:TEXTS]]
    return windows + [lab.prompt(text, chat=True) for text in CHATS if lab.info.chat_template]
