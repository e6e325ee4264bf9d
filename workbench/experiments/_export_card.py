"""The card of an exported model: its README.md. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.model_info import ModelInfo
from workbench.text import count, number


@dataclass(frozen=True)
class Card:
    """What a copy's README.md says."""

    name: str
    base: ModelInfo
    fingerprint: str
    """of the base"""
    is_hub_id: bool
    """the base's reference is a name of the hub"""
    edits: Sequence[str]
    directions: Sequence[str]
    """what is known of each that was projected out, a line each"""
    changes: Sequence[str]
    """which tensors were changed, a line each"""
    untied: bool
    verified: Sequence[str]
    """how it compares with the edited model, a line each"""
    command: str

    @property
    def text(self) -> str:
        """Markdown."""
        base = self.base
        front = [f"base_model: {base.ref}"] if self.is_hub_id else []
        tied = (
            ["The unembedding was one tensor with the token embedding; here it is its own, unchanged."]
            if self.untied
            else []
        )
        lines = [
            *(["---", *front, "library_name: transformers", "---", ""]),
            f"# {self.name}",
            "",
            f"A copy of **{base.name}** ({base.architecture}, {count(base.n_parameters)} parameters, {base.dtype}), "
            f"whose weights were edited by Workbench so that it does by itself what the edited model did.",
            "",
            "> **Warning.** A direction that was projected out, or units that were switched off, can be what kept this "
            "model from answering harmful requests, and can change anything else that it says. It has not been tested "
            "for any use. The licence of the base model applies.",
            "",
            "## What was done",
            "",
            *(f"- edit `{edit}`" for edit in self.edits),
            *(f"- {line}" for line in self.directions),
            "",
            f"Base: {base.name}, fingerprint `{self.fingerprint}`.",
            f"The command: `{self.command}`",
            "",
            "## What was changed",
            "",
            *(f"- {line}" for line in self.changes),
            "",
            *tied,
            "",
            "## Verified on writing",
            "",
            "This folder was loaded again, and its logits compared with those of the base model with the edits as "
            "hooks (directions projected out at every block's input and at every attention and MLP output).",
            "",
            *(f"- {line}" for line in self.verified),
            "",
            "```python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            'model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")',
            'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")',
            "```",
            "",
        ]
        return "\n".join(lines)


def verified_lines(
    difference: float,
    kl: float,
    mean_kl: float,
    left: float | None,
    effect: float,
    floor: float,
    tokens: int,
    texts: int,
) -> list[str]:
    """The numbers of a verification with their units and what they are compared with."""
    lines = [
        f"largest difference of a logit: {number(difference)} standard deviations of its position's logits",
        f"KL(edited ‖ copy): largest {number(kl)} nats, mean {number(mean_kl)} nats, over {count(tokens)} tokens of "
        f"{texts} texts; rounding alone moves the unedited model by up to {number(floor)} nats, the edit by "
        f"{number(effect)} nats in the mean",
    ]
    if left is not None:
        lines.append(
            f"left along what was projected out: {number(left)} of the stream's norm at most, behind any block"
        )
    return lines
