"""Takes the pictures of `.github/gallery.md`, and writes that page: `python -m tests.gallery [NAME…]`, without a model.

Every screen, at three sizes, dark and light. What they show is from the sessions that ship; where those have nothing, a
stand-in for the worker answers, as in the tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from textual.pilot import Pilot

from tests.conftest import make_folders
from tests.pictures import FOLDER, ROOT, compact, shown, until
from tests.tui import saes
from tests.tui.fakes import FakeClient, replay, workbench
from tests.tui.staging import EveryClient, asked_why, plain, quiet, with_features, with_index, words
from workbench.session.writer import SessionWriter

PAGE = ROOT / ".github" / "gallery.md"
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("dark", "light")
INVENTED = " Its numbers are invented: no session that ships has such a step."


class Picture(NamedTuple):
    """`screen` is the folder's name; `client` is None for a replay; `reach` leads to the screen."""

    screen: str
    caption: str
    session: Callable[[Path], Path]
    client: Callable[[], FakeClient] | None
    reach: Callable[[Pilot[Any]], Awaitable[None]]


PICTURES: dict[str, Picture] = {}
"""by the name that stands above them"""


def shipped(name: str) -> Callable[[Path], Path]:
    """A session of the repository, at its place in the working folder."""
    return lambda folder: folder / "sessions" / f"{name}.db"


TOUR = shipped("tour")


def picture(
    name: str,
    screen: str,
    caption: str,
    session: Callable[[Path], Path] = TOUR,
    client: Callable[[], FakeClient] | None = plain,
) -> Callable[[Callable[[Pilot[Any]], Awaitable[None]]], None]:
    def put(reach: Callable[[Pilot[Any]], Awaitable[None]]) -> None:
        PICTURES[name] = Picture(screen, caption, session, client, reach)

    return put


async def sees(pilot: Pilot[Any], *texts: str) -> None:
    await until(pilot, lambda: all(text in shown(pilot.app) for text in texts))


@picture("Home", "home", "Questions with blanks, the sessions there are, and what was found last.")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "model ready", "steps")


@picture("Prompt", "prompt", "The next token clean and under an edit, beside matched random neurons.")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("escape", "p")
    await sees(pilot, "Enter runs predict")
    await words(pilot, "The capital of France is")
    await pilot.press("escape")
    pilot.app.screen.show_step(4)
    await sees(pilot, "KL .279", "what next")


@picture("Run", "run", "Any experiment: its fields, its result, what could follow.", shipped("refusal"))
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "model ready")
    pilot.app.show_in_timeline(5)
    await sees(pilot, "step 5 · arms")
    await pilot.press("f")
    page = pilot.app.page("run")
    await until(pilot, lambda: pilot.app.screen is page and page._ready.is_set())
    page.show_step(5)
    await sees(pilot, "harmful refused 53 of 64", "what next")


@picture("Why", "why", "Which parts make an answer, against chance." + INVENTED, asked_why, EveryClient)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")


@picture("Neurons", "neurons", "All neurons, and a card for the one under the cursor." + INVENTED, client=with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("j", "j", "0")
    await sees(pilot, "KL")


@picture("Features of an SAE", "neurons", "As neurons are." + INVENTED, client=with_features)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("f")
    await sees(pilot, "90 features", "highest at")
    await pilot.press("j", "j")
    await sees(pilot, "L1.F2/res-1", "top examples")


@picture("Directions", "directions", "Where it separates, what it promotes, what adding it does.", shipped("joy"), None)
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "@joy")
    await pilot.press("D")
    await until(pilot, lambda: pilot.app.screen.NAME == "Directions" and "▌ @" in shown(pilot.app))
    await pilot.press("j")
    await sees(pilot, "▌ @joy", "AUC 1")


@picture("Probes", "probes", "Labelled sets, and the probes that were fitted on each.", shipped("probing"), None)
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "sparse-probe")
    await pilot.press("f9")
    await sees(pilot, "steps on capitals", "sparse-probe")
    await pilot.press("tab", "down", "down")
    await sees(pilot, "▌ 23", "Layer × k")


def with_saes(folder: Path) -> Path:
    return saes.session(folder / "features.db")


@picture(
    "SAEs", "sae", "Sparse autoencoders, and which features fire on a text." + INVENTED, with_saes, saes.tiny_client
)
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "model ready")
    await pilot.press("escape", "f10")
    await until(pilot, lambda: pilot.app.screen.NAME == "SAEs" and pilot.app.screen.state.read_once)
    page = pilot.app.screen
    page.saes.move_to(1)
    await until(pilot, lambda: page.result.step == 2 and page.result.settled)


@picture("Timeline", "timeline", "The steps of a session as a tree, with the result of the one under the cursor.")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "L24.N1005")
    await pilot.press("g", "j", "j", "j")
    await sees(pilot, "KL .279 · 32")


@picture("Compare", "compare", "Two steps side by side, and what differs between them.")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "L24.N1005")
    await pilot.press("g", "d", "j", "j", "j", "d")
    await until(pilot, lambda: pilot.app.screen.NAME == "Compare")
    await sees(pilot, "edits")


@picture("Edits", "edits", "What changes the forward pass of every experiment; a removed edit comes back.")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await until(pilot, lambda: pilot.app.screen.NAME == "Edits" and pilot.app.model_info)
    for edit in ("L24.N1005=0", 'L5.H3<"other prompt"', "L17.N1203*=2"):
        await words(pilot, edit)
        await pilot.press("enter")
    await pilot.press("escape", "g", "space", "j", "x")
    await sees(pilot, "brings it back")


def with_pins(folder: Path) -> Path:
    path = folder / "sessions" / "tour.db"
    with SessionWriter(path) as writer:
        for unit, name in (("L5.H3", ""), ("L17.N1198", "months"), ("L17.N1203", "months")):
            writer.pin(unit, name, False)
        writer.note("L17.N1203: fires on months")
    return path


@picture("Basket", "basket", "Pinned units by set: every experiment takes them.", with_pins)
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "model ready")
    pilot.app.show("basket")
    await sees(pilot, "L17.N1203")


@picture("Questions and commands", "palette", "From anywhere, by words.")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "model ready")
    await pilot.press("f2")
    await sees(pilot, "questions and sessions")


@picture("Help", "help", "What a screen is for, its keys, and what each word on it means.", client=with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("f1")
    await sees(pilot, "neurons.filter")


@picture("Methods", "methods", "How each number is defined, and in which paper.")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "model ready")
    pilot.app.show("methods")
    await sees(pilot, "divergence from the clean")


@picture("Save", "save", "A view as text, CSV, JSON or a figure.")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "L24.N1005")
    os.chdir(tempfile.gettempdir())  # it names the folder: the same one whenever it is taken
    await pilot.press("g", "x")
    await sees(pilot, "what is saved")


def file_of(name: str, size: tuple[int, int], theme: str) -> Path:
    return FOLDER / "gallery" / f"{name.lower().replace(' ', '-')}-{size[0]}x{size[1]}-{theme}.svg"


async def take(name: str, folder: Path) -> None:
    """All pictures of one screen: it is resized and changes its theme."""
    wanted = PICTURES[name]
    session = wanted.session(folder)
    app = replay(session) if wanted.client is None else workbench(wanted.client(), session)
    async with app.run_test(size=SIZES[1]) as pilot:
        await wanted.reach(pilot)
        for size in SIZES:
            await pilot.resize_terminal(*size)
            for theme in THEMES:
                app.use_setting(theme)
                await quiet(pilot)
                file_of(name, size, theme).write_text(compact(app.export_screenshot(title=f"Workbench · {name}")))
    print(name, flush=True)


def page() -> str:
    """The page's text."""
    parts = [
        "# Gallery\n\n"
        "Every screen in terminals of 80×24, 120×40 and 200×60, dark and light; a click enlarges a picture. "
        "Made by `python -m tests.gallery`, without a model.\n"
    ]
    for name, wanted in PICTURES.items():
        parts.append(f"\n## {name}\n\n{wanted.caption}\n\n| | dark | light |\n|---|---|---|\n")
        parts += [_row(name, size) for size in SIZES]
    return "".join(parts)


def _row(name: str, size: tuple[int, int]) -> str:
    cells = "".join(
        f" ![{name}, {size[0]}×{size[1]}, {theme}]({file_of(name, size, theme).relative_to(PAGE.parent)}) |"
        for theme in THEMES
    )
    return f"| {size[0]}×{size[1]} |{cells}\n"


async def main(names: list[str], root: Path) -> None:
    for name in names:
        folder = root / name.replace(" ", "-")
        folder.mkdir()
        os.environ.update(make_folders(folder))
        shutil.copytree(ROOT / "sessions", folder / "sessions", ignore=shutil.ignore_patterns("*.sh", "*.py", "*.csv"))
        os.chdir(folder)
        await take(name, folder)


if __name__ == "__main__":
    os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"})
    PAGE.write_text(page())
    (FOLDER / "gallery").mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="wb-"))
    try:
        asyncio.run(main(sys.argv[1:] or list(PICTURES), root))
    finally:
        os.chdir(ROOT)
        shutil.rmtree(root, ignore_errors=True)
