"""Probes: labels are marked on the texts, token by token once the model can say them."""

from __future__ import annotations

import msgspec

from tests.lab.labs import new_report, tiny_lab
from tests.tui.fakes import FakeClient, screen, until
from tests.tui.probes import PLACES, opened
from tests.tui.test_probes import sees
from workbench.datasets.labelled.labelled_set import LabelledText, Span
from workbench.datasets.labelled.shown import token_views
from workbench.execute import execute
from workbench.tui.screens.probes.labelled_texts import TEXTS
from workbench.tui.screens.probes.lines import labelled_text
from workbench.tui.theme import ink
from workbench.views import to_builtins
from workbench.worker.protocol import Peek, PeekAnswer


class LabelsClient(FakeClient):
    """Answers the peeks of labels as the model process does, with a tiny model's tokens."""

    async def request(self, message):
        if not isinstance(message, Peek) or message.experiment != "labels":
            return await super().request(message)
        self.requests.append(message)
        report = new_report()
        execute(tiny_lab("llama"), "labels", message.params, [], 0, report)
        return PeekAnswer(slot=message.slot, views=[to_builtins(view, in_message) for view in report.views.values()])


def in_message(array):
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": array.tobytes()}


async def test_labels_are_marked_on_the_models_tokens_once_it_can_say_them(terminal):
    client = LabelsClient()
    async with opened(client, None) as (pilot, page):
        page.sets.move_to(next(at for at, entry in enumerate(page.state.entries) if entry.name == "months"))
        await until(pilot, lambda: client.asked(Peek) and client.asked(Peek)[-1].params["data"]["name"] == "months")
        await sees(pilot, "▌ months", "marked: the tokens that are read")
        tokens = tiny_lab("llama").model.tokens
        text = next(text for text in page.state.labelled.texts if any(span.label == 1 for span in text.spans))
        pieces = [tokens.token(index) for index in tokens.tokenizer(text.text)["input_ids"]]
        assert "·".join(piece for piece in pieces[:3]) in screen(pilot.app).replace("⟨", "").replace("⟩1", "")
        asked = [message for message in client.asked(Peek) if message.experiment == "labels"]
        assert {message.params["data"]["name"] for message in asked} >= {"months"}
        assert all(len(message.params["data"]["texts"]) <= TEXTS for message in asked), "no more than are shown"
        n = len(asked)
        await pilot.press("tab", "j", "j")
        assert len([message for message in client.asked(Peek) if message.experiment == "labels"]) == n


async def test_labels_are_marked_where_they_are(terminal):
    async with opened(FakeClient(), None) as (pilot, _page):
        colors = ink(pilot.app)
        spans = [[0, 3, 1.0], [2, 5, 0.0], [6, 9, 0.0]]
        texts = [{"text": "one two ten\n\x1b[2J", "spans": spans}, {"text": "y" * 900, "spans": [[0, 900, 1.0]]}]
        made = msgspec.convert({"name": "few", "texts": texts, "classes": ["no", "yes"]}, type(PLACES))
        plain = labelled_text(made, made.texts, [], colors).plain
        assert "⟨one⟩1 tw⟨o t⟩0en ↵ " in plain, "what overlaps is shown once"
        assert "\x1b" not in plain and f"⟨{'y' * 600}…⟩1" in plain
        numbers = msgspec.structs.replace(made, numeric=True)
        assert "⟨labelled⟩number" in labelled_text(numbers, numbers.texts, [], colors).plain
        views, _ = token_views(
            made, tiny_lab("llama").model.tokens.tokenizer, made.texts, lambda index: f"<{index}\x1b>"
        )
        assert "\x1b" not in labelled_text(made, made.texts, views, colors).plain
        spans = msgspec.structs.replace(made, texts=[LabelledText("The capital of France", [Span(4, 14, 1.0)])])
        tokens = tiny_lab("llama").model.tokens
        for read, marked in (("mean", "⟨ capital· of⟩1"), ("last", " capital·⟨ of⟩1")):
            one = msgspec.structs.replace(spans, read=read)
            views, _ = token_views(one, tokens.tokenizer, one.texts, tokens.token)
            assert marked in labelled_text(one, one.texts, views, colors).plain
