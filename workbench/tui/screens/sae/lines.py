"""What the SAE screen says of SAEs and steps, in lines of a given width."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.drawing.layout import wrap
from workbench.text import count, fit, number, safe, shorten, shorten_left, width
from workbench.tui.worker_words import progress_words

if TYPE_CHECKING:
    from workbench.model_info import ModelInfo
    from workbench.session.records import StepRecord
    from workbench.tui.screens.sae.catalogue import SaeEntry
    from workbench.tui.theme import Ink

NAMES = 28
"""cells of an SAE's name at most: of a longer one the end is kept, which says site and width"""


def sae_line(entry: SaeEntry, names: int, figures: Mapping[str, float | None], cells: int, colors: Ink) -> Text:
    """`res-10   L10.resid_post  2,304  topk   explains .81 · CE recovered .93 · L0 32 · 4 % dead`."""
    name = shorten_left(safe(entry.name), names)
    text = Text(no_wrap=True).append(fit(name, names) + "  ", colors.strong)
    if entry.config is None:
        return text.append(shorten(safe(entry.problem), cells - width(text.plain)), colors.bad)
    config = entry.config
    site = config.site or config.hook
    for words in (fit(safe(site), 14), f"{count(config.d_sae):>7}", fit(config.kind, 9), quality(figures)):
        if width(text.plain) + width(words) <= cells:  # whole ones; the chosen one's are below, too
            text.append(words + "  ", colors.plain)
    return text


def name_cells(entries: Sequence[SaeEntry]) -> int:
    """Of the list's first column."""
    return min(NAMES, max((width(safe(entry.name)) for entry in entries), default=0))


def quality(figures: Mapping[str, float | None]) -> str:
    """`explains .81 · CE recovered .93 · L0 32 · 4 % dead`; what is not known is left out."""
    if not figures:
        return "not checked in this session"
    explained, recovered, l0, dead = (
        figures.get(key) for key in ("explained_variance", "recovered_zero", "l0", "dead")
    )
    parts = [f"explains {number(explained)}"]
    parts += [] if recovered is None else [f"CE recovered {number(recovered)}"]
    parts += [] if l0 is None else [f"L0 {number(l0)}"]
    parts += [] if dead is None else [f"{number(100 * dead)} % dead"]
    return " · ".join(parts)


def about(
    entry: SaeEntry, figures: Mapping[str, float | None], info: ModelInfo | None, cells: int, colors: Ink
) -> list[Text]:
    """The chosen SAE: what it is, whether it fits the model, how good it is."""
    if entry.config is None:
        advice = f"{entry.problem}: workbench sae rm {entry.name} removes it"
        return [Text(part, colors.bad) for part in wrap(safe(advice), cells)]
    config = entry.config
    what = f"{config.describe} · trained on {config.model or 'a model it does not name'}"
    lines = [Text(part, colors.plain) for part in wrap(safe(what), cells)]
    misfit = entry.misfit(info)
    if misfit:
        lines += [Text(part, colors.bad) for part in wrap(safe(f"does not fit this model: {misfit}"), cells)]
    elif info is not None:
        words = (
            "site and width fit this model" if not figures else f"site and width fit this model · {quality(figures)}"
        )
        lines += [Text(part, colors.quiet) for part in wrap(words, cells)]
    elif figures:
        lines += [Text(part, colors.quiet) for part in wrap(quality(figures), cells)]
    return lines


def step_line(record: StepRecord, cells: int, colors: Ink) -> Text:
    """`3  features     strongest: L10.F77/res-10 …`."""
    text = Text(no_wrap=True).append(fit(f"{record.id}", 4) + " ", colors.quiet)
    text.append(fit(record.experiment, 10) + "  ", colors.strong)
    room = cells - width(text.plain)
    if record.status in ("queued", "running"):
        words = progress_words(record.progress, time.time()) if record.status == "running" else "waiting for the model"
        return text.append(shorten(f"{record.status}: {words}".rstrip(": "), room), colors.second)
    if record.status != "done":
        words = f"{record.status}: {safe(record.error)}".removesuffix(": ")
        return text.append(shorten(words, room), colors.bad)
    prompt = record.params.get("prompt")
    words = f"{safe(str(prompt))} · {safe(record.headline)}" if prompt else safe(record.headline)
    return text.append(shorten(words, room), colors.plain)


def invitation(entry: SaeEntry | None, misfit: str, replay: bool, colors: Ink) -> Text:
    """What to do where there is no SAE, or no step on the chosen one."""
    if entry is None:
        title, words = (
            "No SAEs yet",
            "m trains a small one; workbench sae add FOLDER reads one of SAELens or Gemma Scope",
        )
        if replay:
            words = "workbench sae add FOLDER reads one of SAELens or Gemma Scope; a replay has no model to train one"
    elif entry.config is None or misfit:
        title, words = f"{entry.name} can't be used here", "j and k lead to another one; m trains one for this model"
    elif replay:
        title, words = "no step with this SAE in this session", "a replay has no model"
    else:
        title = f"nothing asked of {entry.name} yet"
        words = (
            "c measures how good it is here, h compares its error with random ones at the same distance, w shows "
            "which features fire on a text of yours"
        )
    return Text.assemble((safe(title) + ": ", colors.strong), (words, colors.quiet))
