"""The questions a newcomer can ask, in the order in which Home shows them: pure data, and light to import."""

from __future__ import annotations

from workbench.params import DATA_SET, DATA_SETS, DIRECTION, PROMPT_SET, SAE, TEXT, TOKEN, UNIT, UNITS
from workbench.questions.question import PROMPT, Blank, Question

__all__ = ["QUESTIONS", "Blank", "Question"]

_ANSWER = Blank(name="answer", kind=TOKEN, example=" Paris", help="the answer as a token, with its leading space")
_DIRECTION = Blank(
    name="direction", kind=DIRECTION, example="@L12.N345.out", help="a direction of the session, or a neuron's weights"
)

QUESTIONS: dict[str, Question] = {
    "next-token": Question(
        sentence="what comes after ⟨prompt⟩",
        about="top predictions, and how surprising the text was",
        experiment="predict",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "answer": Question(
        sentence="how likely is ⟨answer⟩ after ⟨prompt⟩",
        about="one answer's probability and rank",
        experiment="predict",
        blanks=(
            _ANSWER,
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩", "answer": "⟨answer⟩"},
    ),
    "why": Question(
        sentence="why does it say ⟨answer⟩ after ⟨prompt⟩",
        about="which parts make the answer, beside matched random ones",
        experiment="why",
        blanks=(
            _ANSWER,
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩", "answer": "⟨answer⟩"},
    ),
    "layer-by-layer": Question(
        sentence="what is it thinking, layer by layer, at ⟨prompt⟩",
        about="logit lens: each layer's own best guess",
        experiment="logit-lens",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "switch-off": Question(
        sentence="what if I switch off ⟨unit⟩ in ⟨prompt⟩",
        about="an edit: clean beside edited",
        experiment="predict",
        blanks=(
            Blank(name="unit", kind=UNITS, example="L24.N1005", help="neurons or heads (L12.N345, L5.H3, L3.N10-20)"),
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩"},
        edits=("⟨unit⟩=0",),
    ),
    "find-neuron": Question(
        sentence="is there a neuron for ⟨rule⟩",
        about="in the index, then tried on documents it has not seen, beside random neurons",
        experiment="find-neuron",
        blanks=(
            Blank(
                name="rule",
                kind=TEXT,
                example="May, June, July",
                help="words, a /pattern/, or a token feature (is_month)",
            ),
        ),
        params={"rule": "⟨rule⟩"},
    ),
    "unusual": Question(
        sentence="what fires unusually on ⟨prompt⟩",
        about="all neurons against what the index has seen of each",
        experiment="unusual",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "two-prompts": Question(
        sentence="what differs between ⟨prompt⟩ and ⟨other⟩",
        about="activations of one prompt put into the other: where the answer changes",
        experiment="patch",
        blanks=(
            PROMPT,
            Blank(name="other", kind=TEXT, example="The capital of Italy is", help="a prompt of as many tokens"),
        ),
        params={"prompt": "⟨prompt⟩", "corrupted": "⟨other⟩"},
    ),
    "neuron": Question(
        sentence="what does ⟨unit⟩ do",
        about="a neuron's card: what it fires on, what it promotes, its like",
        experiment="neuron",
        blanks=(Blank(name="unit", kind=UNIT, example="L24.N1005", help="one neuron (L12.N345)"),),
        params={"unit": "⟨unit⟩"},
    ),
    "unit": Question(
        sentence="what does ⟨unit⟩ do on ⟨prompt⟩",
        about="its activation, token by token",
        experiment="activations",
        blanks=(
            Blank(name="unit", kind=UNITS, example="L24.N1005", help="units (L12.N345, L5.H3, L5.resid_post)"),
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩", "units": "⟨unit⟩"},
    ),
    "go-on": Question(
        sentence="how does it go on after ⟨prompt⟩",
        about="generated text, greedy or sampled",
        experiment="generate",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "tokens": Question(
        sentence="how is ⟨prompt⟩ split into tokens",
        about="its tokens with their ids, the BOS, what the chat template wrote",
        experiment="tokens",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "direction": Question(
        sentence="find a direction for ⟨this⟩ against ⟨that⟩",
        about="two prompt sets: where in the stream they part, beside shuffled labels",
        experiment="direction",
        blanks=(
            Blank(name="this", kind=PROMPT_SET, example="@harmful", help="a file of prompts, or a set by its @name"),
            Blank(name="that", kind=PROMPT_SET, example="@harmless", help="the prompts it is compared with"),
        ),
        params={"name": "⟨this.name⟩", "positive": "⟨this⟩", "negative": "⟨that⟩"},
    ),
    "stop-refusing": Question(
        sentence="make it stop refusing ⟨these⟩",
        about="one direction, taken out of the stream, and what that costs",
        experiment="refusal",
        blanks=(Blank(name="these", kind=PROMPT_SET, example="@harmful", help="prompts that it refuses"),),
        params={"harmful": "⟨these⟩"},
    ),
    "refuse": Question(
        sentence="make it refuse ⟨those⟩",
        about="one direction, added to the stream, and what that costs",
        experiment="refusal",
        blanks=(Blank(name="those", kind=PROMPT_SET, example="@harmless", help="prompts that it answers"),),
        params={"harmless": "⟨those⟩"},
    ),
    "more": Question(
        sentence="make it more ⟨direction⟩, so that it says ⟨answer⟩",
        about="strengths by layers: effect against damage",
        experiment="steer",
        blanks=(_DIRECTION, _ANSWER),
        beside=(PROMPT,),
        params={"direction": "⟨direction⟩", "target": "⟨answer⟩", "prompt": "⟨prompt⟩"},
    ),
    "feature": Question(
        sentence="which neurons carry ⟨feature⟩",
        about="sparse probes of every layer on a labelled set, beside tokens alone",
        experiment="sparse-probe",
        blanks=(
            Blank(name="feature", kind=DATA_SET, example="months", help="a labelled set: its name, or a CSV file"),
        ),
        params={"data": "⟨feature⟩"},
    ),
    "fact": Question(
        sentence="does it know ⟨facts⟩, and where",
        about="a probe on the stream at every layer, on statements it has not seen",
        experiment="dense-probe",
        blanks=(
            Blank(
                name="facts", kind=DATA_SET, example="capitals", help="true and false statements: a set, or a CSV file"
            ),
        ),
        params={"data": "⟨facts⟩"},
    ),
    "only-about": Question(
        sentence="is ⟨unit⟩ only about ⟨feature⟩",
        about="set to 0 class by class, beside matched neurons and random directions",
        experiment="probe-ablate",
        blanks=(
            Blank(name="unit", kind=UNITS, example="L24.N1005", help="neurons: L12.N345"),
            Blank(name="feature", kind=DATA_SET, example="months", help="a labelled set: its name, or a CSV file"),
        ),
        params={"units": "⟨unit⟩", "data": "⟨feature⟩"},
    ),
    "which-features": Question(
        sentence="which of ⟨features⟩ have a neuron of their own",
        about="many labelled sets in one run: best neurons, baselines, ablations",
        experiment="battery",
        blanks=(
            Blank(name="features", kind=DATA_SETS, example="months,plural,past", help="labelled sets, commas between"),
        ),
        params={"data": "⟨features⟩"},
    ),
    "sae-errors": Question(
        sentence="does the SAE ⟨sae⟩ hurt more than chance",
        about="its reconstruction in the activation's place, beside random errors at the same distance",
        experiment="sae-errors",
        blanks=(Blank(name="sae", kind=SAE, example="all", help="a registered SAE, or all that fit the model"),),
        params={"sae": "⟨sae⟩"},
    ),
    "features-on": Question(
        sentence="which features fire on ⟨text⟩",
        about="an SAE's features, token by token, beside how often each fires on a corpus",
        experiment="features",
        blanks=(Blank(name="text", kind=TEXT, example="We met in June and parted in May.", help="a text"),),
        params={"prompt": "⟨text⟩"},
    ),
    "what-direction": Question(
        sentence="what is the direction ⟨direction⟩",
        about="what it promotes, the neurons that write it, its share of the stream",
        experiment="project",
        blanks=(_DIRECTION,),
        params={"direction": "⟨direction⟩"},
    ),
    "train-sae": Question(
        sentence="train a sparse autoencoder at ⟨site⟩",
        about="its features from a million tokens, and how much they keep on documents it has not seen",
        experiment="sae-train",
        blanks=(Blank(name="site", kind=UNIT, example="L10.resid_post", help="a layer's site: L10.resid_post"),),
        params={"site": "⟨site⟩"},
    ),
}
"""by a name of their own"""
