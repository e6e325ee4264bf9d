"""The Neurons screen over a synthetic index and a worker that answers at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from textual.pilot import Pilot

from tests.index.synthetic import make
from tests.tui.fakes import READY, TOKENS, FakeClient, screen, until, workbench
from workbench.index.reader import NeuronIndex
from workbench.index.store import indexes_dir
from workbench.tui.screens.neurons import Neurons
from workbench.views import TokenRow, Tokens, to_builtins
from workbench.worker.protocol import Done, Peek, PeekAnswer, Pin


def make_index(data: bool = True, n_layers: int = 3, d_mlp: int = 40) -> NeuronIndex:
    return NeuronIndex.open(make(indexes_dir(), n_layers, d_mlp, seed=1, data=data))


def peeked(units: str) -> dict[str, Any]:
    values = np.array([0.1, -0.2, 0.3, 6.2, 5.9])
    view = Tokens(
        title="Over the prompt", tokens=TOKENS, rows=[TokenRow(name=units, values=values)], value_label="activation",
        low_label="negative", high_label="positive", signed=True,
    )  # fmt: skip
    stored = {"dtype": "float64", "shape": [5], "data": values.tobytes()}
    return to_builtins(view, lambda array: stored)


class NeuronClient(FakeClient):
    """Also answers peeks and keeps pins."""

    def __init__(self, index: NeuronIndex | None = None, **given: Any) -> None:
        status = msgspec.structs.replace(READY, info=index.info) if index else READY
        super().__init__(status, **given)

    async def request(self, message: Any) -> Any:
        if isinstance(message, Pin):
            self.requests.append(message)
            self.writer(message.session).pin(message.unit, message.name, message.remove)
            return Done()
        if isinstance(message, Peek) and message.experiment == "activations":
            self.requests.append(message)
            return PeekAnswer(slot=message.slot, views=[peeked(message.params["units"])])
        return await super().request(message)


@contextlib.asynccontextmanager
async def neurons(
    client: NeuronClient | None, size: tuple[int, int] = (120, 40), session: Path | None = None, whole: bool = True
) -> AsyncIterator[tuple[Pilot[Any], Neurons]]:
    """The screen, shown; where there is an index, its list is there."""
    app = workbench(client, session)
    async with app.run_test(size=size) as pilot:
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Neurons), "the screen")
        page = app.screen
        assert isinstance(page, Neurons)
        if whole and any(indexes_dir().glob("*/index.json")):
            await until(pilot, lambda: page.listing.count, "the list")
        yield pilot, page


def lines_with(app: Any, text: str) -> list[str]:
    return [line for line in screen(app).splitlines() if text in line]
