"""How a text is split into tokens.

The tokens as the model reads them, with their ids and positions: what the tokenizer made of the text, the BOS it put in
front, and what the chat template wrote around it. No forward pass is run. With a set of prompts: one row a prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.experiment import Experiment
from workbench.experiments._common import carried_params, tokenized_rows
from workbench.params import PromptParams
from workbench.report import NextStep, Report
from workbench.result_keys import TokenIds
from workbench.text import count, shorten, show_token
from workbench.views import Column, Table, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt

_SENTENCE_CELLS = 72
"""cells of tokens in the sentence"""
_ROW_TOKENS = 400
"""tokens of each prompt of a set, in its row"""


class Params(PromptParams, kw_only=True, frozen=True):
    pass


def run(lab: Lab, params: Params, report: Report) -> None:
    prompts = [row.prompt for row in tokenized_rows(lab, params)]
    if params.prompts:
        _add_set_views(prompts, report)
    else:
        _add_prompt_views(prompts[0], report)
    report.scalar("tokens", sum(map(len, prompts)))
    report.suggest(NextStep(label="what the model says next", experiment="predict", params=carried_params(params)))


def _add_prompt_views(prompt: Prompt, report: Report) -> None:
    origins = prompt.origins
    report.add(
        "tokens",
        Tokens(
            title="As the model reads it",
            note=prompt.describe,
            tokenization=prompt.tokenization,
            tokens=prompt.tokens,
            rows=[],
            value_label="",
            low_label="",
            high_label="",
            labels=[*origins],
        ),
    )
    columns = [
        Column(key="position", name="position", kind="position"),
        Column(key=TokenIds.TOKEN, name="token", kind="token"),
        Column(key="id", name="id", kind="int", help="its row of the vocabulary"),
        Column(
            key=TokenIds.ORIGIN,
            name="from",
            help="who wrote it: the text, the tokenizer (BOS), the chat template, earlier turns of a chat; chat where "
            "the template changed the text",
        ),
    ]
    rows = [
        [at, token, int(index), origin]
        for at, (token, index, origin) in enumerate(zip(prompt.tokens, prompt.ids, origins, strict=True))
    ]
    if not prompt.verbatim:
        added = "in a chat template that changed the text"
    elif prompt.template:
        earlier = f"{count(origins.count('earlier'))} of earlier turns, " if prompt.n_earlier else ""
        added = f"{earlier}{count(origins.count('template'))} of them the chat template's"
    else:
        added = "no BOS" if prompt.bos is None else f"the first is the BOS {show_token(prompt.bos)}"
    counted = f"{_counted(len(prompt))}, {added}"
    ids = Table(title="Token by token", note=prompt.describe, tokenization=counted, columns=columns, rows=rows)
    report.add(TokenIds.VIEW, ids)
    report.say(f"{counted}: {shorten(_listed(prompt, _SENTENCE_CELLS), _SENTENCE_CELLS)}")


def _add_set_views(prompts: list[Prompt], report: Report) -> None:
    lengths = [len(prompt) for prompt in prompts]
    first = prompts[0]
    if first.template:
        added = "in the chat template"
    else:
        added = "no BOS" if first.bos is None else f"each begins with the BOS {show_token(first.bos)}"
    columns = [
        Column(key="prompt", name="prompt", kind="prompt"),
        Column(key="tokens", name="tokens", kind="int"),
        Column(key="split", name="split", help="the text's own tokens, without BOS and chat template"),
    ]
    rows = [[prompt.text, len(prompt), _listed(prompt, _ROW_TOKENS)] for prompt in prompts]
    report.add("prompts", Table(title="Prompt by prompt", note=added, columns=columns, rows=rows))
    length = (
        _counted(lengths[0]) if min(lengths) == max(lengths) else f"{count(min(lengths))} to {_counted(max(lengths))}"
    )
    n = f"{count(len(prompts))} prompt{'s' * (len(prompts) != 1)}"
    report.say(f"{n} of {length}, {count(sum(lengths))} in all, {added}")


def _counted(n: int) -> str:
    return f"{count(n)} token{'s' * (n != 1)}"


def _listed(prompt: Prompt, most: int) -> str:
    """The text's own tokens, `most` of them: `'The' ' capital'`."""
    own = (TokenIds.TEXT, TokenIds.CHAT)
    text_tokens = [token for token, origin in zip(prompt.tokens, prompt.origins, strict=True) if origin in own]
    return " ".join(map(show_token, text_tokens[:most])) + (" …" if len(text_tokens) > most else "")


EXPERIMENT = Experiment(
    name="tokens",
    help=__doc__,
    params=Params,
    run=run,
    group="says",
    order=5,
    takes_edits=False,
    works=lambda params, edited: (),
)
