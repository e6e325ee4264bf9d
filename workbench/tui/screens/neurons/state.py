"""What the Neurons screen asks of the worker and the session: live values, edits, pins, notes, steps."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.errors import UserError
from workbench.result_keys import NextToken, Ranking
from workbench.text import count
from workbench.tui.latest import Following, Latest
from workbench.tui.screens.neurons import steps
from workbench.tui.screens.neurons.export import write_card
from workbench.tui.screens.neurons.input_requests import index_request
from workbench.tui.screens.neurons.offer import NO_FEATURES, NO_SAE, feature_offers, offers
from workbench.tui.screens.neurons.your_text import Change, OnText, from_peek, from_step
from workbench.tui.unit_actions import feature_card, pin, unpin
from workbench.tui.worker_words import progress_words, ready, stage
from workbench.units import check_set_name, parse_units

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.index.card import Card
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRecord
    from workbench.tui.context import Context
    from workbench.tui.screens.neurons.offer import Offer
    from workbench.tui.screens.neurons.parts import NeuronsPage
    from workbench.views import AnyView

BASKET = "basket"
"""what the set without a name is called in filters and `--units basket`"""
_REMEMBERED = 400
_SHOWN = frozenset({NextToken.VIEW, Ranking.VIEW})
"""views of our steps that are read"""
_CONTROLS = 64


class PendingStep(NamedTuple):
    """A step of ours whose answer the screen waits for."""

    step: int
    kind: str
    """edit, unusual, index"""
    address: str = ""
    """of the neuron or feature that is edited"""
    edit: str = ""


class NeuronsState:
    """Belongs to one screen. Everything the session has is read anew when it changes."""

    def __init__(self, screen: NeuronsPage) -> None:
        self.screen = screen
        self.text = "The capital of France is"
        self._texts: OrderedDict[tuple[str, str], OnText] = OrderedDict()
        self._followed: tuple[int, ...] = ()
        """neurons to show on your text now"""
        self._peek_problem = ""
        self._peeks = Latest(screen, self._peek, self._peek_failed)
        self._reads = Following(screen, self._read, lambda sentence: screen.trouble(self, sentence))
        self._pending: list[PendingStep] = []
        self._changes: dict[tuple[str, str], Change] = {}
        """by text and address, as `_texts`: ids mean other units in another index"""
        self._pins: list[tuple[str, str]] = []
        """(unit, set name)"""
        self._notes: list[str] = []
        self._built: set[str] = set()
        """fingerprints of models for which an index of the weights was requested"""
        self._running: StepRecord | None = None
        """an index that is being built"""

    @property
    def app(self) -> Context:
        return self.screen.workbench

    # --- what the screen asks for ---

    def on_text(self, neuron: int) -> OnText | None:
        return self._texts.get((self.text, self.screen.browse.address(neuron)))

    def change(self, neuron: int) -> Change | None:
        return self._changes.get((self.text, self.screen.browse.address(neuron)))

    def waiting(self) -> str:
        """Why there are no activations on your text."""
        if self._peek_problem:
            return self._peek_problem
        link = self.app.link
        if link is None:
            return "a replay has no model"
        return "" if ready(link) else f"({stage(link)})"

    def building(self) -> str:
        """How far the index is that is being built; empty if none is."""
        if self._running is None:
            return ""
        import time

        how_far = progress_words(self._running.progress, time.time())
        return f"building an index: {how_far}" if how_far else "building an index"

    def pinned(self) -> set[int]:
        return {neuron for name, neurons in self.sets().items() for neuron in neurons.tolist()}

    def sets(self) -> dict[str, np.ndarray]:
        """Neurons of every named set; `basket` is the one without a name."""
        index = self.screen.browse.index
        neurons_of_set: dict[str, set[int]] = {}
        for unit, name in self._pins if index else []:
            assert index is not None
            try:
                units = parse_units(unit, index.info)
            except UserError:
                continue  # of another model
            ids = {id for unit_of_set in units if (id := index.id_of(unit_of_set)) is not None}
            neurons_of_set.setdefault(name or BASKET, set()).update(ids)
        return {name: np.array(sorted(ids), np.int32) for name, ids in neurons_of_set.items()}

    def set_names(self) -> list[str]:
        return sorted({name for _, name in self._pins if name})

    def pins_of(self, address: str) -> tuple[str, ...]:
        return tuple(name or "the basket" for unit, name in self._pins if unit == address)

    def notes_on(self, address: str) -> tuple[str, ...]:
        """Notes of the session that begin with the neuron's address."""
        start = f"{address}: "
        return tuple(note.removeprefix(start) for note in self._notes if note.startswith(start))

    # --- hearing of worker and session ---

    def worker_changed(self) -> None:
        if self._followed and ready(self.app.link):
            self._peek_problem = ""
            self._peeks.ask()

    def session_changed(self) -> None:
        self._reads.ask()

    def session_swapped(self) -> None:
        self._pending.clear()
        self._changes.clear()
        self._pins, self._notes, self._running = [], [], None

    async def _read(self) -> None:
        """Pins, notes and what became of our steps."""
        pending_steps = list(self._pending)

        def read(reader: SessionReader) -> tuple[list[tuple[str, str]], list[str], list[Any]]:
            answers = []
            for pending in pending_steps:
                step = reader.step(pending.step)
                rows = [row for row in reader.views(pending.step) if row.key in _SHOWN]
                answers.append((pending, step, {row.key: reader.load_view(row) for row in rows}))
            pins = [(pin.unit, pin.name) for pin in reader.pins()]
            return pins, [note.text for note in reader.notes() if note.step is None], answers

        pins, notes, answers = await self.app.feed.read(read)
        pins_changed = pins != self._pins
        self._pins, self._notes = pins, notes
        if pins_changed:
            self.screen.browse.sets = self.sets()
            self.screen.listing.pinned = self.pinned()
            self.screen.listing.forget_all()
        for pending, step, views in answers:
            self._take_answer(pending, step, views)
        self.screen.pane.refill()

    def _take_answer(self, pending: PendingStep, step: StepRecord, views: Mapping[str, AnyView]) -> None:
        from workbench.session.records import FINISHED

        finished = step.status in FINISHED
        if pending.kind == "edit":
            text = str(step.params.get("prompt", ""))
            self._changes[(text, pending.address)] = from_step(step, views, pending.edit)
        elif pending.kind == "index":
            self._running = None if finished else step
            if finished and step.error:
                self.screen.say(step.error, bad=True)
            self.screen.index_grew()
        elif finished:
            self._ranked(step, views)
        if finished and pending in self._pending:
            self._pending.remove(pending)

    def _ranked(self, step: StepRecord, views: Mapping[str, AnyView]) -> None:
        """`unusual` has answered: its ranking becomes a column, and the order."""
        index = self.screen.browse.index
        column = steps.ranking_column(views, index) if index else None
        if column is None:
            self.screen.say(step.error or step.headline or "it found nothing", bad=bool(step.error))
            return
        self.screen.browse.add_column(column)
        self.screen.refill()
        self.screen.say(step.headline)

    # --- your text ---

    def follow(self, *neurons: int) -> None:
        """The card has settled on this neuron, or on the two that are compared."""
        self._followed = neurons
        if any(self.on_text(neuron) is None for neuron in neurons) and ready(self.app.link):
            self._peeks.ask()

    def use_text(self, text: str) -> None:
        if not text.strip():
            raise UserError("a text is expected: what should the neuron be shown on?")
        self.text = text
        self._peek_problem = ""
        self.app.remember_prompt(text)
        self.screen.pane.refill()
        self._peeks.ask()

    async def _peek(self) -> None:
        from workbench.worker.protocol import Peek

        text = self.text
        neuron = next((followed for followed in self._followed if self.on_text(followed) is None), None)
        if neuron is None:
            return
        address = self.screen.browse.address(neuron)
        message = Peek(slot="neuron", experiment="activations", params={"prompt": text, "units": address})
        answer = await self.app.request(message)
        if answer.replaced:
            return
        on_text = from_peek(answer)
        if on_text is not None:
            self._texts[(text, address)] = on_text
            while len(self._texts) > _REMEMBERED:
                self._texts.popitem(last=False)
        self._peek_problem = ""
        if neuron in self._followed:
            self.screen.pane.refill()
        self._peeks.ask()

    def _peek_failed(self, sentence: str) -> None:
        self._peek_problem = sentence.splitlines()[0]
        self.screen.pane.show_text()

    # --- steps ---

    async def _submit(
        self, kind: str, experiment: str, params: dict[str, Any], edits: Sequence[str] = (), **step_fields: Any
    ) -> int:
        from workbench.edits import parse_edits

        step: int = await self.app.submit(experiment, params, parse_edits(edits, self.app.model_info))
        self._pending.append(PendingStep(step, kind, **step_fields))
        return step

    def edit(self, neuron: int, change: str) -> None:
        """Zero or scale a neuron on your text, beside matched controls."""
        address = self.screen.browse.address(neuron)
        text = f"{address}{change}"
        self._changes[(self.text, address)] = Change(text, "queued")
        self.screen.pane.show_text()
        params = {"prompt": self.text, "controls": _CONTROLS}
        self.screen.run_reporting(self._submit("edit", "predict", params, [text], address=address, edit=text), "state")

    def unusual(self) -> None:
        """Rank all neurons by how unusual they are on your text."""
        index = self.screen.browse.index
        if index is None or not index.has_data:
            self.screen.say("what is unusual is measured against an index: I builds one")
            return
        self.screen.say(f"ranking {count(index.units.n)} neurons by how unusual they are on your text")
        self.screen.run_reporting(self._submit("unusual", "unusual", {"prompt": self.text}), "state")

    def build_weights(self) -> None:
        """Where a model is ready and nothing is known of its neurons yet; once for each model."""
        link, info = self.app.link, self.app.model_info
        if not ready(link) or info is None or not info.fingerprint or info.fingerprint in self._built:
            return
        self._built.add(info.fingerprint)
        self.screen.run_reporting(self._submit("index", "index", {"tokens": 0}), "state")

    def choose_index(self) -> None:
        """Other indexes of this model, and ones that could be built."""
        indexes = self.screen.index_choice.available(self.app.model_info)
        choices = [*offers(self.rate()), *feature_offers(self.app.model_info)]
        self.screen.asking.ask(index_request(indexes, choices, self._browse_index, self._build_index))

    def other_units(self) -> None:
        """The features of the next SAE that has an index, and after the last one the neurons again."""
        choice, info = self.screen.index_choice, self.app.model_info
        names = ["", *choice.indexed_saes(info)]
        if len(names) == 1:
            offered = feature_offers(info)
            self.screen.say(NO_FEATURES if offered else NO_SAE, bad=True)
            if offered:
                self.screen.asking.ask(index_request([], offered, self._browse_index, self._build_index))
            return
        index = self.screen.browse.index
        shown = index.sae.name if index is not None and index.sae is not None else ""
        at = names.index(shown) if shown in names else 0
        choice.show(names[(at + 1) % len(names)])
        self.screen.index_grew()

    def _browse_index(self, folder: Path) -> None:
        self.screen.index_choice.chosen = folder
        self.screen.index_grew()

    def _build_index(self, offer: Offer) -> None:
        self.screen.index_choice.show(str(offer.params.get("sae", "")))
        self.screen.say("the index is being built; it can be browsed while it grows, Ctrl+C stops and keeps it")
        self.screen.run_reporting(self._submit("index", "index", offer.params), "state")

    def rate(self) -> float | None:
        """Tokens/s of the index that is open, where it says."""
        index = self.screen.browse.index
        file = index.file if index else None
        return index.n_tokens / file.seconds if index and file and file.seconds > 1 and index.n_tokens else None

    # --- pins and notes ---

    def pin(self, neurons: Sequence[int], name: str) -> None:
        """Into the set; one that is in it already goes out."""
        check_set_name(name)
        self.screen.run_reporting(self._pin([self.screen.browse.address(neuron) for neuron in neurons], name), "state")

    async def _pin(self, addresses: Sequence[str], name: str) -> None:
        if len(addresses) == 1 and (addresses[0], name) in self._pins:
            await unpin(self.app, addresses[0], name)
            return
        await pin(self.app, [address for address in addresses if (address, name) not in self._pins], name)
        pinned = addresses[0] if len(addresses) == 1 else f"{len(addresses)} {self.screen.browse.units}"
        self.screen.say(f"{pinned} added to {f'the set {name}' if name else 'basket'}")

    def note(self, address: str, text: str) -> None:
        if not text:
            raise UserError("an empty note says nothing: write one, or leave with Esc")
        self.screen.run_reporting(self._note(address, text), "state")

    async def _note(self, address: str, text: str) -> None:
        from workbench.worker.protocol import Note

        await self.app.request(Note(session=str(self.app.session_path()), text=f"{address}: {text}"))
        self.app.feed.hint()

    # --- elsewhere ---

    def open_elsewhere(self, neuron: int) -> None:
        """Enter: this neuron on your text, or this feature's card, as a logged experiment."""
        from workbench.report import NextStep

        address = self.screen.browse.address(neuron)
        step = NextStep(label=address, experiment="activations", params={"prompt": self.text, "units": address})
        if self.screen.browse.units == "features":
            step = feature_card(address)
        self.app.ask(step)

    def export(self, card: Card) -> None:

        async def write() -> None:
            paths = await asyncio.to_thread(write_card, card, self.notes_on(card.unit))
            self.screen.say(f"the card is in {paths}")

        self.screen.run_reporting(write(), "state")
