"""Every screen with something on it, each reached by keys: for tests that go over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.tui import directions, probes
from tests.tui import other_scenes as other_scenes
from tests.tui.directions import DirectionsClient
from tests.tui.fakes import until
from tests.tui.staging import SCENES as SCENES
from tests.tui.staging import EveryClient, asked_why, no_index, nothing, plain, scene, sees, with_features, with_index
from tests.tui.staging import shown as shown
from tests.tui.staging import words as words

# --- Home ---


@scene("home")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "6 steps")
    await pilot.press("escape", "j")


@scene("home, nothing yet", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "none yet")


@scene("home, filling in")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "6 steps")
    await pilot.press(*"comes", "tab")


@scene("home, on a session")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "6 steps")
    await pilot.press("escape", "G", "j")
    pilot.app.screen.say("it could not be had", bad=True)


# --- Prompt ---


@scene("prompt, nothing asked")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("escape", "p")
    await sees(pilot, "Enter runs predict")
    await words(pilot, "The capital of")
    await sees(pilot, "3 tokens")


@scene("prompt")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("enter")
    await sees(pilot, "done in", "what next")
    pilot.app.screen.show_step(3)
    await sees(pilot, "★ expected", "L24.N88=0")


@scene("prompt, tokens and numbers")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("enter")
    await sees(pilot, "done in", "what next")
    pilot.app.screen.show_step(2)
    await sees(pilot, "under L24.N88=0")
    await pilot.press("j", "enter", "j", "enter")


@scene("prompt, an error")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("escape", "p")
    await sees(pilot, "Enter runs predict")
    await words(pilot, "text")
    await pilot.press("tab", "tab", "tab", "tab", *"many", "enter")
    await sees(pilot, "! ")


@scene("prompt, waiting")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.link._client.hold = True  # type: ignore[attr-defined]
    await pilot.press("enter")
    await sees(pilot, "queued")


@scene("run, nothing asked", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("run")
    await sees(pilot, "Enter runs")


@scene("run")
async def _(pilot: Pilot[Any]) -> None:
    page = pilot.app.show("run")
    await sees(pilot, "Enter runs")
    page.show_step(2)
    await sees(pilot, "under L24.N88=0", "what next")


# --- Neurons ---


@scene("neurons", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("j", "space", "j", "0")
    await sees(pilot, "1 marked", "KL")


@scene("neurons, the card", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("tab")


@scene("neurons, filtering", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("slash")
    await words(pilot, "layer 1 kur")


@scene("neurons, a wrong filter", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("slash")
    await words(pilot, "kurtosys>5")
    await pilot.press("enter")
    await sees(pilot, "did you mean")


@scene("neurons, none passes", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("slash")
    await words(pilot, "layer 1 kurtosis>1e9")
    await pilot.press("enter")
    await sees(pilot, "No neuron passes")


@scene("neurons, columns", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("c")
    await sees(pilot, "✓")


@scene("neurons, two compared", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("space", "space", "v")
    await until(pilot, lambda: pilot.app.screen.pane.compared)


@scene("neurons, weights alone", no_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "weights alone")


@scene("neurons, features of an SAE", with_features)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("f")
    await sees(pilot, "90 features", "highest at")
    await pilot.press("j", "0")
    await sees(pilot, "top examples", "KL")


@scene("neurons, no index")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "There is no index")


# --- Why ---


@scene("why", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")


@scene("why, switched off", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")
    await pilot.press("0")
    await sees(pilot, "off: ")


@scene("why, where in the stream", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")
    await pilot.press("tab", "tab")


@scene("why, nothing asked", EveryClient, nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "Enter asks", "passes of")


@scene("why, a foil", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")
    await pilot.press("c")


# --- Directions ---


def steered(folder: Path) -> Path:
    return directions.session(folder / "steering.db")


@scene("directions", DirectionsClient, steered)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "▌ @harmful", "' weapon' +4.1", "▸ +6")


@scene("directions, in the dial", DirectionsClient, steered)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "▌ @harmful", "▸ +6")
    await pilot.press("tab", "tab")


@scene("directions, a new name", DirectionsClient, steered)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "▌ @harmful", "▸ +6")
    await pilot.press("r")


@scene("directions, none", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "No directions yet")


# --- Probes ---


def probing(folder: Path) -> Path:
    return probes.session(folder / "probing.db")


@scene("probes", plain, probing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f9")
    await sees(pilot, "▌ 2    dense-probe", "tells 'a place'")


@scene("probes, layer × k", plain, probing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f9")
    await sees(pilot, "▌ 2    dense-probe", "tells 'a place'")
    await pilot.press("tab", "down")
    await sees(pilot, "▌ 1    sparse-probe", "Layer × k")
    await pilot.press("tab")


@scene("probes, none", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f9")
    await sees(pilot, "no probe of this set yet")


# --- SAEs ---


@scene("SAEs, none", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f10")
    await sees(pilot, "No SAEs yet")


# --- Timeline and Compare ---


@scene("timeline")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:", "cancelled")
    await pilot.press("g", "j", "j")
    await sees(pilot, "★ expected: late")


@scene("timeline, a failure and a filter")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:", "cancelled")
    await pilot.press("slash", *"layer")
    await sees(pilot, "of 6 steps")


@scene("timeline, no step", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "No step yet")


@scene("compare")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:")
    await pilot.press("g", "j", "d", "d")
    await until(pilot, lambda: pilot.app.screen.NAME == "Compare")
    await sees(pilot, "Next token", "edits")


@scene("compare, on numbers")
async def _(pilot: Pilot[Any]) -> None:
    await SCENES["compare"].reach(pilot)
    await pilot.press("j", "j")
