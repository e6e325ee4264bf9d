"""Where a reply begins: a text in the chat template, up to the token that the model answers with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt


def reply_prompt(lab: Lab, text: str, system: str) -> Prompt:
    """The text in the chat template; of a model that reasons with its empty think block, so that the answer is next.

    `system` is `default`, `none`, or the system turn's text. Raises UserError as `lab.prompt` does.
    """
    prompt = lab.prompt(text, True, system)
    lead = lab.model.tokens.chat.reply_lead(system)
    if not lead.strip():
        return prompt
    return _continued(lab, prompt, lead)


def with_reply(lab: Lab, prompt: Prompt, reply: str, system: str) -> Prompt:
    """A `reply_prompt` that goes on with a reply, as the template would write it."""
    lead = lab.model.tokens.chat.reply_lead(system)
    return _continued(lab, prompt, reply if lead.strip() else lead + reply)


def _continued(lab: Lab, prompt: Prompt, text: str) -> Prompt:
    ids = lab.model.tokens.continuation(text)
    return replace(
        prompt,
        ids=np.concatenate([prompt.ids, np.asarray(ids, np.int64)]),
        tokens=[*prompt.tokens, *map(lab.token, ids)],
        after=prompt.after + text,
    )
