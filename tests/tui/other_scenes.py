"""Scenes of the screens around results: edits, basket, palette, help, methods, save."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from tests.tui.staging import nothing, scene, sees, with_index, words

# --- Edits and Basket ---


@scene("edits")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    for edit in ("L24.N88=0", 'L5.H3<"other prompt"'):
        await words(pilot, edit)
        await pilot.press("enter")
    await pilot.press("escape", "space")
    await sees(pilot, "1 of 2 on")


@scene("edits, nothing typed", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "Nothing is edited")


@scene("edits, one removed")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    for edit in ("L24.N88=0", "L5.H3=0"):
        await words(pilot, edit)
        await pilot.press("enter")
    await pilot.press("escape", "x")
    await sees(pilot, "Ctrl+Z brings it back")


@scene("edits, saved ones")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    await pilot.press("escape", "o")


@scene("edits, a wrong one")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    await words(pilot, "L24.N88==")
    await pilot.press("enter")
    await sees(pilot, "is expected here")


@scene("edits, saving")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    await words(pilot, "L24.N88=0")
    await pilot.press("enter", "escape", "s")
    await sees(pilot, "save the stack as")


@scene("basket")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("basket")
    await sees(pilot, "L5.H3", "fires on months")


@scene("basket, empty", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("basket")
    await sees(pilot, "Nothing is pinned")


# --- Palette, Help, Save ---


@scene("palette")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f2")
    await sees(pilot, "questions and sessions")


@scene("palette, nothing matches")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f2")
    await sees(pilot, "questions and sessions")
    await words(pilot, "xyzzy")
    await sees(pilot, "No question or command has all of these words")


@scene("help")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f1")
    await sees(pilot, "home.ask")


@scene("methods")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("methods")
    await sees(pilot, "divergence from the clean")


@scene("help, words explained", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("f1")
    await sees(pilot, "neurons.filter")
    await pilot.press("end")


@scene("methods, the end")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("methods")
    await sees(pilot, "divergence from the clean")
    await pilot.press("end")


@scene("save")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:")
    await pilot.press("g", "x")
    await sees(pilot, "what is saved")
