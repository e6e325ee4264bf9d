"""One cell of the logit lens: what the model would say after one layer at one position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import UserError
from workbench.experiments._common import TokenizedRow
from workbench.report import Report
from workbench.text import probability, show_token
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.lab import Lab

TOP = 20
"""tokens that are listed"""
EMBED = "embed"


def top_tokens(lab: Lab, rows: list[TokenizedRow], layer: str, position: int, report: Report) -> None:
    """The top tokens after `layer` (`L7`, `7`, `embed`) at `position` (negative: from the end), clean and edited.

    Raises UserError for a set of prompts, and for a layer or position that there is not.
    """
    import torch

    from workbench.lab import metrics
    from workbench.lab.lens import lens

    if len(rows) > 1:
        raise UserError("a layer's top tokens are listed for one prompt: leave out the file of prompts, or the layer")
    row, lens_row, prompt = rows[0], _lens_row(layer, lab.info.n_layers), rows[0].prompt
    n = len(prompt)
    if not -n <= position < n:
        raise UserError(f"there is no position {position}: the prompt has {n} tokens, 0 to {n - 1}")
    at = position % n
    passes = [(), lab.edits] if lab.edits else [()]
    logs = []
    for edits in report.track(passes, "passes"):
        logits = lens(lab, prompt, edits).logits(lens_row)[0, at].float()
        with torch.inference_mode():
            logs.append(metrics.log_probs(logits).cpu())
    best = logs[-1].topk(min(TOP, len(logs[-1])))
    name = EMBED if lens_row == 0 else f"L{lens_row - 1}"
    place = f"after {'the embedding' if lens_row == 0 else name} at position {at}, {show_token(prompt.tokens[at])}"
    columns = [
        Column(key="rank", name="rank", kind="int"),
        Column(key="token", name="token", kind="token"),
        Column(key="probability", name="clean" if lab.edits else "probability", kind="probability"),
    ]
    if lab.edits:
        columns.append(Column(key="probability_edited", name="edited", kind="probability", edited=True))
    cells: list[list[Any]] = [
        [rank, lab.token(int(token)), *(float(each[token].exp()) for each in logs)]
        for rank, token in enumerate(best.indices.tolist(), 1)
    ]
    order = "edited" if lab.edits else "probability"
    report.add(
        "top",
        Table(
            title=f"Top tokens {place}",
            note=f"logit lens, largest {order} first; {prompt.describe}",
            tokenization=prompt.tokenization,
            columns=columns,
            rows=cells,
        ),
    )
    token, p = int(best.indices[0]), float(best.values[0].exp())
    answer = row.answer.id if row.answer else token
    report.scalar("top_probability", p)
    report.scalar("answer_probability", float(logs[-1][answer].exp()))
    under = " under the edits" if lab.edits else ""
    report.say(f"{show_token(lab.token(token))} {probability(p)} {place}{under}")


def _lens_row(layer: str, n_layers: int) -> int:
    """The lens' row: 0 is the embedding. Raises UserError for what is no layer."""
    text = layer.strip().removeprefix("L")
    if layer.strip() == EMBED:
        return 0
    if text.isdecimal() and int(text) < n_layers:
        return int(text) + 1
    raise UserError(f"there is no layer {layer!r}: there are {EMBED} and L0 to L{n_layers - 1}")
