"""A short investigation of the default model, done by the product itself.

It is what `workbench` runs where there is no terminal, and how `sessions/tour.db` was recorded
(`sessions/record_tour.sh`): is there one neuron that carries ' Paris', and is it about Paris?
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench.edits import parse_edits
from workbench.experiments import experiment
from workbench.params import make_params
from workbench.session.places import new_session_path
from workbench.settings import Settings
from workbench.shell import shell_line
from workbench.worker import protocol
from workbench.worker.worker_files import WorkerSpec

PROMPT = "The capital of France is"
NEURON = "L24.N1005"
CAPITALS = {
    "France": " Paris",
    "Japan": " Tokyo",
    "Italy": " Rome",
    "Germany": " Berlin",
    "Spain": " Madrid",
    "Egypt": " Cairo",
    "Russia": " Moscow",
    "England": " London",
}


class TourStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the tour. `parent` counts steps from 1."""

    experiment: str
    params: dict[str, Any]
    edits: Sequence[str] = ()
    expected: str = ""
    note: str = ""
    parent: int | None = None


TOUR_STEPS = (
    TourStep(
        experiment="predict",
        params={"prompt": PROMPT, "answer": " Paris", "foil": " London"},
        expected="Paris first, and sure of it",
    ),
    TourStep(
        experiment="logit-lens",
        params={"prompt": PROMPT, "answer": " Paris"},
        expected="late: factual answers form in the upper half",
        note="The answer is not readable before the last layers: small models decide late.",
        parent=1,
    ),
    TourStep(
        experiment="activations",
        params={"prompt": PROMPT, "units": NEURON},
        note="Its strongest token is where the country is named and where the answer is due.",
        parent=1,
    ),
    TourStep(
        experiment="predict",
        params={"prompt": PROMPT, "answer": " Paris", "foil": " London"},
        edits=(f"{NEURON}=0",),
        expected="one neuron of 46,080: nothing",
        note="One neuron carries a good part of the answer: larger than all matched random neurons.",
        parent=1,
    ),
    TourStep(
        experiment="predict",
        params={"prompt": "The opposite of hot is", "answer": " cold"},
        edits=(f"{NEURON}=0",),
        expected="no effect, if the neuron is about France and not about being sure",
        note="No effect: it lies among the matched random neurons, so it does not serve every answer.",
        parent=4,
    ),
    TourStep(
        experiment="predict",
        params={
            "prompts": [
                {"prompt": f"The capital of {country} is", "answer": answer} for country, answer in CAPITALS.items()
            ]
        },
        edits=(f"{NEURON}=0",),
        expected="is it France, or every capital?",
        note="Every capital. Not a Paris neuron: it serves the question, not the city.",
        parent=4,
    ),
    TourStep(
        experiment="generate",
        params={"prompt": PROMPT, "tokens": 16},
        edits=(f"{NEURON}=0",),
        parent=4,
    ),
)


def run_tour(spec: WorkerSpec, session: Path | None, settings: Settings) -> int:
    """Runs every step, prints its result and where it is kept. Returns the exit status."""
    from workbench.cli.output import Printer
    from workbench.cli.page import short_path
    from workbench.cli.run import run_and_print

    path = session or new_session_path("tour")
    printer = Printer(theme=settings.theme)
    printer.text("No terminal here, so a short investigation instead of the workbench.", "bold")
    printer.text(f"It is kept in {short_path(path)}; in a terminal, workbench opens what you see here.", "dim")
    step_ids: list[int] = []
    for step in TOUR_STEPS:
        params = make_params(experiment(step.experiment).params, step.params)
        printer.blank()
        printer.text("─" * printer.width if not printer.style.ascii else "-" * printer.width, "dim")
        record, code = run_and_print(
            spec,
            path,
            step.experiment,
            params,
            parse_edits(step.edits),
            expected=step.expected,
            parent=step_ids[step.parent - 1] if step.parent else None,
            origin="tour",
            printer=printer,
        )
        if code:
            return code
        step_ids.append(record.id)
    asyncio.run(_annotate(spec, path, step_ids))
    printer.blank()
    printer.text(f"session: {path}", "bold")
    line = shell_line(["workbench", "replay", str(path.absolute())], printer.style.ascii)
    printer.unbroken(f"replay it, without a model: {line}", "dim")
    return 0


async def _annotate(spec: WorkerSpec, path: Path, step_ids: list[int]) -> None:
    """The tour's title, its notes and its pin, written by the worker like everybody's."""
    from workbench.worker.client import connect

    client = await connect(spec)
    try:
        await client.request(protocol.Rename(session=str(path), title="tour: what says Paris?"))
        await client.request(protocol.Pin(session=str(path), unit=NEURON, name=""))
        for step_id, step in zip(step_ids, TOUR_STEPS, strict=True):
            if step.note:
                await client.request(protocol.Note(session=str(path), step=step_id, text=step.note))
    finally:
        await client.close()
