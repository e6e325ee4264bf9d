"""Every key of the app, with its name for the settings file (`[keys]`, name = "key,key") and what it does.

Fields take every printable key, so a key that must work inside them has a second one that prints nothing.
Nothing here hangs on Ctrl+Enter, Alt+Enter, Ctrl+M or Ctrl+H: many terminals don't send them.
"""

from __future__ import annotations

from textual.binding import Binding

from workbench.errors import UserError
from workbench.tui.widget_keys import ASK as ASK
from workbench.tui.widget_keys import CHOICE as CHOICE
from workbench.tui.widget_keys import FIELD as FIELD
from workbench.tui.widget_keys import LIST as LIST
from workbench.tui.widget_keys import MAP as MAP
from workbench.tui.widget_keys import NEURON_CARD as NEURON_CARD
from workbench.tui.widget_keys import PAGE as PAGE
from workbench.tui.widget_keys import PALETTE as PALETTE
from workbench.tui.widget_keys import RESULT as RESULT
from workbench.tui.widget_keys import SCROLL as SCROLL
from workbench.tui.widget_keys import TABLE as TABLE
from workbench.tui.widget_keys import key as _key

APP = [
    _key("help", "f1,question_mark", "help", "keys", "what this screen is and its keys", show=True),
    _key("palette", "f2,colon", "palette", "ask", "questions and commands, from anywhere"),
    _key("edits", "e,f3", "edits", "edits", "the edit stack: add, remove, switch on and off", show=True),
    _key("timeline", "t,f4", "timeline", "timeline", "the steps of this session", show=True),
    _key("neurons", "n,f6", "neurons", "neurons", "all neurons of the model, with a card for the one under the cursor"),
    _key("why", "W,f7", "why", "why", "why does it say that: what makes an answer, switched off, beside random ones"),
    _key("directions", "D,f8", "directions", "directions", "the directions there are, and what adding one does"),
    _key("probes", "L,f9", "probes", "probes", "labelled sets, and the probes that were fitted on each"),
    _key("sae", "F,f10", "sae", "SAEs", "the sparse autoencoders there are, and their features on a text"),
    _key("back", "escape", "back", "back", "leave the field, then the screen; every screen keeps its place"),
    _key("undo", "ctrl+z", "undo", "undo", "bring back what a key removed last: an edit, a pin, a filter …", show=True),
    _key("cancel", "ctrl+c", "cancel", "cancel", "cancel what runs, keep what there is; never quits", priority=True),
    _key("quit", "q,ctrl+q", "quit", "quit", "leave; the worker goes on with what it has to do"),
]

HOME = [
    _key("home.up", "up", "move(-1)", "up", "the line above, also while typing"),
    _key("home.down", "down", "move(1)", "down", "the line below, also while typing"),
    # What is typed before the terminal is ours arrives with Enter as a line feed, which is Ctrl+J.
    _key("home.ask", "enter,ctrl+j", "ask", "ask", "ask this question, or open this session", show=True),
    _key("home.next", "tab", "next_place", "fill in", "to the next blank, then the sessions", show=True),
    _key("home.previous", "shift+tab", "previous_place", "", "to the blank before"),
    _key("home.filter", "slash,i", "filter", "filter", "type words to narrow the list", show=True),
    _key("home.prompt", "p", "prompt", "prompt", "the Prompt screen, with all its fields"),
    _key("home.rename", "R", "rename", "rename", "another title for the session under the cursor, or the one in use"),
    _key("home.new", "N", "new_session", "new session", "what is asked next begins a new session"),
]

HOME_LIST = [
    _key("home.list-up", "k", "move(-1)", "up", "one line up"),
    _key("home.list-down", "j", "move(1)", "down", "one line down"),
    _key("home.page-up", "pageup,ctrl+u", "page(-1)", "page up", "one page up"),
    _key("home.page-down", "pagedown,ctrl+d", "page(1)", "page down", "one page down"),
    _key("home.first", "home,g", "edge(-1)", "first", "the first line"),
    _key("home.last", "end,G", "edge(1)", "last", "the last line"),
]


def _runner(screen: str, run: str, write: str, into: str) -> list[Binding]:
    """Of a screen that has a form and runs an experiment."""
    return [
        _key(f"{screen}.run", "enter", "run", "run", run, show=True),
        _key(f"{screen}.run-anywhere", "f5", "run", "run", "run, also from inside a field"),
        _key(f"{screen}.field", "i,slash", "write", write, into, show=True),
        _key(f"{screen}.next", "right_square_bracket", "experiment(1)", "experiment", "the next experiment", show=True),
        _key(f"{screen}.previous", "left_square_bracket", "experiment(-1)", "", "the experiment before"),
        _key(f"{screen}.more", "m", "more", "more fields", "show or hide the fields that are seldom needed"),
    ]


RUN = _runner("run", "run the experiment with these fields", "fill in", "into the first field")

PROMPT = [
    *_runner("prompt", "run the experiment on this prompt", "write", "into the prompt"),
    _key("prompt.chat", "c", "chat", "chat", "put the prompt into the model's chat template, or not"),
    _key(
        "prompt.reply",
        "a",
        "reply",
        "reply",
        "the answer becomes a turn of the chat, and you write the next one; edits stay on",
        show=True,
    ),
    _key("prompt.new-chat", "N", "new_chat", "new chat", "drop the earlier turns: the prompt begins a chat"),
]

WRITE = [
    _key("prompt.submit", "enter", "submit", "run", "run the experiment on this prompt", show=True),
    _key("prompt.newline", "ctrl+j,shift+enter", "newline", "line break", "a line break (pasted ones stay too)"),
]

WHY = [
    _key("why.toggle", "0", "switch", "off/on", "switch the chosen units (●) off, or on again", show=True),
    _key("why.choose", "space", "choose", "choose", "this unit into those that 0 switches off, or out", show=True),
    _key("why.pick", "a", "use_pick", "the pick", "choose again what the search picked"),
    _key("why.pin", "p", "pin", "pin", "into the basket, or out of it: every experiment takes basket:", show=True),
    _key("why.foil", "c", "foil", "foil", "choose a token to compare the answer with, and ask again", show=True),
    _key("why.ask", "i,slash", "write", "ask", "another question: prompt, answer, foil, how many to pick", show=True),
    _key("why.again", "r", "again", "again", "the same question again, same seed"),
    _key("why.save", "x", "save", "save", "save this pane's view (text, CSV, JSON, figure) or the screen", show=True),
    _key("why.copy", "y", "copy", "copy", "copy this pane's view: the terminal's clipboard and a file"),
    _key("why.next", "tab", "pane(1)", "next", "to the next pane, or the next field", show=True),
    _key("why.previous", "shift+tab", "pane(-1)", "", "to the pane before"),
    _key("why.enter", "enter", "enter", "ask", "ask, where no question was asked yet"),
]

TIMELINE = [
    _key("timeline.earlier", "left", "history(-1)", "earlier", "one step back in history, as it happened", show=True),
    _key("timeline.later", "right", "history(1)", "later", "one step on in history", show=True),
    _key("timeline.filter", "slash", "filter", "filter", "only steps that say all these words", show=True),
    _key("timeline.note", "n", "note", "note", "write a note on this step", show=True),
    _key("timeline.again", "r", "again", "run again", "run this step again, same seed", show=True),
    _key("timeline.fork", "f", "fork", "fork", "to Prompt, with this step's parameters and edits", show=True),
    _key("timeline.compare", "d", "compare", "compare", "mark this step, then another: both side by side", show=True),
    _key("timeline.copy", "y", "copy", "copy", "copy this step's main view"),
    _key("timeline.export", "x", "save", "export", "save this step's views", show=True),
]

EDITS = [
    _key("edits.add", "a,i,slash", "add", "add", "type an edit", show=True),
    _key("edits.toggle", "space", "switch", "on/off", "switch this edit on or off", show=True),
    _key("edits.remove", "x,delete", "remove", "remove", "remove this edit", show=True),
    _key("edits.earlier", "K", "reorder(-1)", "move up", "apply this edit earlier", show=True),
    _key("edits.later", "J", "reorder(1)", "move down", "apply this edit later", show=True),
    _key("edits.save", "s", "save_stack", "save", "save this stack under a name, in the session", show=True),
    _key("edits.saved", "o", "saved", "saved", "to the stacks that are saved in this session", show=True),
]

EDIT_LIST = [
    _key("edits.open", "enter", "open", "on/off", "switch this edit on or off", show=True),
]

STACKS = [
    _key("stacks.use", "enter", "request('use')", "use", "this stack in place of the edits above", show=True),
    _key("stacks.append", "a,plus", "request('append')", "append", "its edits after those that are there", show=True),
    _key("stacks.delete", "x,delete", "request('delete')", "delete", "take this stack out of the session", show=True),
]

NEURON_LIST = [
    _key("neurons.jump", "g", "jump", "go to", "to an address, L12.N345; gg to the first line", priority=True),
    _key("neurons.mark", "space", "mark", "mark", "mark this neuron (in:marked filters, v compares two)"),
]

NEURONS = [
    _key(
        "neurons.filter",
        "slash",
        "filter",
        "filter",
        "kurtosis>50 family=prediction …",
        show=True,
        priority=True,
    ),
    _key("neurons.sort", "s", "sort", "sort", "the order: choose a column", show=True, priority=True),
    _key(
        "neurons.features",
        "f",
        "features",
        "features",
        "the features of an SAE in place of the neurons, those of the next SAE, and the neurons again",
        show=True,
        priority=True,
    ),
    _key("neurons.reverse", "S", "reverse", "reverse", "the order, the other way round"),
    _key(
        "neurons.zero",
        "0",
        "zero",
        "zero it",
        "switch this neuron off on your text, beside matched random neurons",
        show=True,
    ),
    _key("neurons.scale", "asterisk", "scale", "scale it", "multiply its activation on your text", priority=True),
    _key("neurons.pin", "p", "pin", "pin", "into the basket, or out of it: every experiment takes basket:", show=True),
    _key(
        "neurons.pin-set",
        "P",
        "pin_set",
        "pin to a set",
        "the marked neurons, or this one",
        priority=True,
    ),
    _key("neurons.basket", "B", "basket", "basket", "all pins by set"),
    _key(
        "neurons.text",
        "w,i",
        "write",
        "your text",
        "the text to show neurons on",
        show=True,
        priority=True,
    ),
    _key("neurons.unusual", "u", "unusual", "on my text", "rank all neurons by how unusual they are on your text"),
    _key("neurons.tails", "b", "tails", "both tails", "the lowest examples as fully as the highest"),
    _key("neurons.columns", "c", "columns", "columns", "which columns the list has"),
    _key("neurons.compare", "v", "compare", "compare", "two marked neurons (or the marked one and this) side by side"),
    _key("neurons.note", "n", "note", "note", "write a note on this neuron", priority=True),
    _key("neurons.export", "x", "export", "export", "write the card to a file"),
    _key("neurons.index", "I", "choose_index", "index", "build an index, or browse another one", priority=True),
    _key("neurons.relax", "R", "relax", "relax", "drop the filter's term that takes the most away"),
    _key(
        "neurons.card",
        "tab",
        "card",
        "card",
        "to the card and back; opens it where there is no room for both",
        show=True,
    ),
    _key("neurons.close-card", "C", "close_card", "hide the card", "the list alone, or the card beside it again"),
    _key("neurons.card-down", "J", "scroll_card(1)", "card down", "scroll the card"),
    _key("neurons.card-up", "K", "scroll_card(-1)", "card up", "scroll the card back"),
]

CHOOSER = [
    _key("chooser.toggle", "space", "switch", "show/hide", "show or hide this column", show=True),
    _key("chooser.earlier", "K", "reorder(-1)", "move up", "this column further left"),
    _key("chooser.later", "J", "reorder(1)", "move down", "this column further right", show=True),
]

BASKET = [
    _key("basket.add", "a,i", "add", "add", "units of any kind, typed: L5.H3, L12.N10-12, @name", show=True),
    _key("basket.off", "0", "switch_off", "switch off", "this set into the edit stack, set to 0", show=True),
    _key("basket.remove", "x,delete", "remove", "remove", "take this unit out of its set", show=True),
    _key("basket.move", "P", "move_to_set", "to a set", "also into a named set", show=True),
]

DIRECTIONS = [
    _key(
        "directions.up", "plus,equals_sign", "turn(1)", "stronger", "turn the strength up: your text goes on", show=True
    ),
    _key("directions.down", "minus", "turn(-1)", "weaker", "turn the strength down, below 0 against it", show=True),
    _key(
        "directions.text",
        "i,slash",
        "write",
        "your text",
        "into your text; Tab goes on to strength and place",
        show=True,
    ),
    _key("directions.project", "p", "project", "project", "what it promotes, as a step with your text", show=True),
    _key("directions.origin", "o", "origin", "its step", "the step that made it, in the timeline"),
    _key(
        "directions.steer",
        "s",
        "steer",
        "steer",
        "the form of `steer`: strengths by layers, effect by damage",
        show=True,
    ),
    _key("directions.ablate", "a", "ablate", "ablate", "into the edits: project it out everywhere", show=True),
    _key("directions.add", "E", "add", "add to edits", "into the edits: what the dial adds", show=True),
    _key("directions.rename", "r", "rename", "rename", "another name for it in this session"),
    _key("directions.export", "x", "export", "export", "write it to a .safetensors file, with all that is known of it"),
    _key("directions.remove", "delete", "remove", "remove", "take its name off, or delete its file; asks once"),
    _key("directions.make", "m", "make", "make one", "the form of `direction`: from two sets of prompts", show=True),
]

PROBES = [
    _key("probes.next", "tab", "place(1)", "next", "to the next place: sets, steps, layer × k, neurons", show=True),
    _key("probes.previous", "shift+tab", "place(-1)", "", "to the place before"),
    _key(
        "probes.ablate", "a", "ablate", "ablate by class",
        "switch the neuron under the cursor off, class by class, beside matched controls", show=True,
    ),
    _key("probes.turn", "greater_than_sign", "turn(1)", "next curve", "the next drawing of this step", show=True),
    _key("probes.turn-back", "less_than_sign", "turn(-1)", "", "the drawing before"),
    _key("probes.texts", "v", "texts", "labels", "the set's texts with their labels, or the findings", show=True),
    _key("probes.sparse", "s", "sparse", "sparse probe", "the form of `sparse-probe`: the fewest neurons", show=True),
    _key(
        "probes.neurons", "u", "neurons", "every neuron", "the form of `neuron-probe`: each neuron by itself", show=True
    ),
    _key("probes.dense", "d", "dense", "dense probe", "the form of `dense-probe`: all of a site, by layer", show=True),
    _key("probes.apply", "A", "apply", "apply", "the form of `probe-apply`: this probe on another set, or on a text"),
    _key("probes.copy", "y", "copy", "copy", "copy this view: the terminal's clipboard and a file"),
    _key("probes.save", "x", "save", "save", "save this view (text, CSV, JSON, figure) or the screen"),
]  # fmt: skip

SAES = [
    _key("saes.next", "tab", "place(1)", "next", "to the next place: SAEs, steps, result", show=True),
    _key("saes.previous", "shift+tab", "place(-1)", "", "to the place before"),
    _key("saes.text", "w,i", "write", "your text", "type a text: which features of the SAE fire on it", show=True),
    _key("saes.features", "f", "features", "features", "the form of `features`: which fire on your text", show=True),
    _key("saes.check", "c", "check", "check", "the form of `sae-check`: how good it is on this model", show=True),
    _key("saes.errors", "h", "errors", "errors", "the form of `sae-errors`: does it hurt more than chance", show=True),
    _key("saes.train", "m", "train", "train", "the form of `sae-train`: a new one", show=True),
    _key("saes.copy", "y", "copy", "copy", "copy this view: the terminal's clipboard and a file"),
    _key("saes.save", "x", "save", "save", "save this view (text, CSV, JSON, figure) or the screen"),
]

HELP = [
    _key("help.methods", "m", "methods", "methods", "how each number is defined, and in which paper", show=True),
]

ALL: dict[str, list[Binding]] = {
    "Home": [*HOME, *HOME_LIST],
    "Prompt": PROMPT,
    "Run": RUN,
    "Why": WHY,
    "Timeline": TIMELINE,
    "Edits": EDITS,
    "Neurons": NEURONS,
    "Basket": BASKET,
    "Directions": DIRECTIONS,
    "Probes": PROBES,
    "SAEs": SAES,
    "Help": HELP,
    "questions and commands": PALETTE,
    "every screen": PAGE,
    "list": LIST,
    "list of neurons": NEURON_LIST,
    "list of edits": EDIT_LIST,
    "saved stacks": STACKS,
    "columns": CHOOSER,
    "card": NEURON_CARD,
    "heat map": MAP,
    "table": TABLE,
    "result": RESULT,
    "text": SCROLL,
    "prompt": WRITE,
    "choice": CHOICE,
    "ways to go on": ASK,
    "field": FIELD,
    "everywhere": APP,
}
"""by the title that stands above them in the help"""


def names() -> list[str]:
    """Every name a key can be set by in the settings file."""
    return [binding.id or "" for group in ALL.values() for binding in group]


def check(keymap: dict[str, str]) -> None:
    """Raises UserError for a name that no key has."""
    import difflib

    key_names = names()
    for name in keymap:
        if name not in key_names:
            near = difflib.get_close_matches(name, key_names, 3, 0.5) or key_names[:6]
            raise UserError(f"the settings name a key {name!r} that there is not: there are {', '.join(near)} …")
