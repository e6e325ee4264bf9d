"""A prompt that goes on with a reply, as the chat template would write it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt


def with_reply(lab: Lab, prompt: Prompt, reply: str, system: str) -> Prompt:
    """A prompt (`lab.prompt`, `answering`) with what follows it."""
    lead = lab.model.tokens.chat.reply_lead(system)
    text = reply if lead.strip() else lead + reply
    ids = lab.model.tokens.continuation(text)
    return replace(
        prompt,
        ids=np.concatenate([prompt.ids, np.asarray(ids, np.int64)]),
        tokens=[*prompt.tokens, *map(lab.token, ids)],
        after=prompt.after + text,
    )
