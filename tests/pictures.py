"""Takes README's pictures from the real screens on the default model: `python -m tests.pictures`.

The session is the recorded tour, so that what they show can be replayed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from tests.conftest import make_folders, share_model, stop_processes_of
from workbench.settings import Settings
from workbench.tui.app import WorkbenchApp
from workbench.worker.worker_files import WorkerSpec

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".github" / "pictures"
SIZE = (120, 36)


async def until(pilot: Pilot[int], condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"the picture's moment never came:\n{shown(pilot.app)}"
        await pilot.pause(0.05)


_CELL = 12.2
"""how wide one is in Rich's pictures"""
_RECT = re.compile(r'<rect fill="([^"]*)" x="([^"]*)" y="([^"]*)" width="([^"]*)" height="24.65" shape-[^>]*/>')
_TEXT = re.compile(r'(<text class="[^"]*") x="([^"]*)" y="([^"]*)" textLength="([^"]*)">(\u00a0*)(.*?)(\u00a0*)</text>')


def compact(svg: str) -> str:
    """The same picture in a third of the bytes.

    Without fonts, which a picture in a page can't fetch, without clipping, and without spaces at both ends of a text,
    which some programs leave out. Backgrounds of one colour that touch are one, so that no seam is seen.
    """
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<clipPath.*?</clipPath>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="[^"]*"', "", svg)
    svg = re.sub(r"terminal-\d+-", "", svg).replace("&#160;", "\u00a0")
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace")
    backgrounds = ""
    fill, start, y, end = "", 0.0, "", 0.0
    for part in [*map(re.Match.groups, _RECT.finditer(svg)), ("", "0", "", "0")]:
        if (part[0], part[2]) != (fill, y):
            if fill:
                backgrounds += f'<path fill="{fill}" d="M{start:.1f} {y}H{end:.1f}v24.65H{start:.1f}"/>\n'
            fill, start, y = part[0], float(part[1]), part[2]
        end = float(part[1]) + float(part[3])
    first = _RECT.search(svg)
    if first is not None:
        svg = svg[: first.start()] + f'<g shape-rendering="crispEdges">\n{backgrounds}</g>' + svg[first.start() :]
    svg = _TEXT.sub(_trimmed, _RECT.sub("", svg))
    return re.sub(r"\n\s*", "\n", svg)


def _trimmed(found: re.Match[str]) -> str:
    start, x, y, length, before, text, after = found.groups()
    if not text:
        return ""
    x, length = float(x) + _CELL * len(before), float(length) - _CELL * (len(before) + len(after))
    return f'{start} x="{x:.1f}" y="{y}" textLength="{length:.1f}">{text}</text>'


def take(app: WorkbenchApp, name: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(compact(app.export_screenshot(title="Workbench")))
    print(name, flush=True)


async def replayed() -> None:
    """Directions, from the session that ships: without a model."""
    app = WorkbenchApp(None, ROOT / "sessions" / "joy.db", Settings())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "@joy" in shown(app))
        await pilot.press("D")
        await until(pilot, lambda: "@joy" in shown(app) and "separation" in shown(app).lower())
        await pilot.press("j")
        await until(pilot, lambda: "AUC 1, d′ 8.08" in shown(app))
        await pilot.pause(1.5)
        take(app, "directions")


async def probes(app: WorkbenchApp, pilot: Pilot[int]) -> None:
    """Probes, after a sparse probe of the plural nouns that ship."""
    await pilot.press("f9")
    await until(pilot, lambda: "is_python" in shown(app))
    await pilot.press("G")
    await until(pilot, lambda: "▌ plural" in shown(app))
    await pilot.press("s")
    await until(pilot, lambda: "filled in" in shown(app))
    await pilot.press("enter")
    await until(pilot, lambda: "permutations of the labels" in shown(app))
    await pilot.press("f9")
    await until(pilot, lambda: "Layer × k" in shown(app) and "The chosen neurons" in shown(app))
    await pilot.pause(1.0)
    take(app, "probes")


def shown(app: App[int]) -> str:
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


async def main(work: Path) -> None:
    session = work / "sessions" / "tour.db"
    app = WorkbenchApp(WorkerSpec(), session, Settings())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "model ready" in shown(app))
        await pilot.pause(0.5)
        take(app, "home")
        await pilot.press("f4")
        await until(pilot, lambda: "L24.N1005" in shown(app))
        await pilot.press("home", "j", "j", "j")
        await pilot.pause(0.5)
        take(app, "timeline")
        await pilot.press("f")
        await pilot.pause(0.5)
        await pilot.press("f5")
        await until(pilot, lambda: "larger than all" in shown(app))
        await pilot.pause(1.0)
        take(app, "prompt")
        app.edits.entries.clear()
        await pilot.press("f7")
        await until(pilot, lambda: "passes of 6 tokens" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: re.search(r"(s|min) · cpu float32 · seed 0", shown(app)) is not None)  # it is done
        await pilot.pause(1.0)
        take(app, "why")
        await probes(app, pilot)
        await pilot.press("f6")
        await until(pilot, lambda: "46,080 neurons" in shown(app))
        if "weights alone" in shown(app):
            print("neurons stays as it is: it needs `workbench index build --corpus stdlib --tokens 300000 --explain`")
            return
        await pilot.press("slash", *"layer 17-28 vr>.3", "enter", "s", *"vr", "enter", "g", *"L25.N779", "enter")
        await pilot.press("w", *"The meeting in May was moved to June", "enter")
        await pilot.pause(1.0)
        await pilot.press("0")
        await until(pilot, lambda: "64 matched random neurons" in shown(app))
        await pilot.pause(1.0)
        take(app, "neurons")


if __name__ == "__main__":
    root = Path(tempfile.mkdtemp(prefix="wb-"))
    os.environ.update({**make_folders(root), "HF_HUB_OFFLINE": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor"})
    share_model(root / "cache", indexes=True)
    here = root / "capitals"
    (here / "sessions").mkdir(parents=True)
    shutil.copy(ROOT / "sessions" / "tour.db", here / "sessions")
    os.chdir(here)
    try:
        asyncio.run(main(here))
        asyncio.run(replayed())
    finally:
        stop_processes_of(root / "run")
        shutil.rmtree(root, ignore_errors=True)
