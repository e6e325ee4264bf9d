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
        group="says",
        sentence="what comes after ⟨prompt⟩",
        about="top predictions, and how surprising the text was",
        synonyms="predict logits probabilities entropy surprise",
        experiment="predict",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "answer": Question(
        group="says",
        sentence="how likely is ⟨answer⟩ after ⟨prompt⟩",
        about="one answer's probability and rank",
        synonyms="probability rank logit",
        experiment="predict",
        blanks=(
            _ANSWER,
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩", "answer": "⟨answer⟩"},
    ),
    "go-on": Question(
        group="says",
        sentence="how does it go on after ⟨prompt⟩",
        about="generated text, greedy or sampled",
        synonyms="generate complete continue sample write",
        experiment="generate",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "layer-by-layer": Question(
        group="says",
        sentence="what is it thinking, layer by layer, at ⟨prompt⟩",
        about="logit lens: each layer's own best guess",
        synonyms="lens early exit hidden states",
        experiment="logit-lens",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "tokens": Question(
        group="says",
        sentence="how is ⟨prompt⟩ split into tokens",
        about="its tokens with their ids, the BOS, what the chat template wrote",
        synonyms="tokenizer tokenize ids template",
        experiment="tokens",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "why": Question(
        group="why",
        sentence="why does it say ⟨answer⟩ after ⟨prompt⟩",
        about="which parts make the answer, beside matched random ones",
        synonyms="cause explain circuit attribution responsible",
        experiment="why",
        blanks=(
            _ANSWER,
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩", "answer": "⟨answer⟩"},
    ),
    "switch-off": Question(
        group="why",
        sentence="what if I switch off ⟨unit⟩ in ⟨prompt⟩",
        about="an edit: clean beside edited",
        synonyms="ablate ablation zero knock out intervene intervention remove head neuron clamp",
        experiment="predict",
        blanks=(
            Blank(name="unit", kind=UNITS, example="L24.N1005", help="neurons or heads (L12.N345, L5.H3, L3.N10-20)"),
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩"},
        edits=("⟨unit⟩=0",),
    ),
    "two-prompts": Question(
        group="why",
        sentence="what differs between ⟨prompt⟩ and ⟨other⟩",
        about="activations of one prompt put into the other: where the answer changes",
        synonyms="patch patching causal trace tracing swap corrupt",
        experiment="patch",
        blanks=(
            PROMPT,
            Blank(name="other", kind=TEXT, example="The capital of Italy is", help="a prompt of as many tokens"),
        ),
        params={"prompt": "⟨prompt⟩", "corrupted": "⟨other⟩"},
    ),
    "attention": Question(
        group="why",
        sentence="where does ⟨head⟩ look in ⟨prompt⟩",
        about="a head's attention, and what it adds to the answer's logit",
        synonyms="attention pattern attend ov qk head",
        experiment="attention",
        blanks=(Blank(name="head", kind=UNIT, example="L19.H3", help="a head (L5.H3)"), PROMPT),
        params={"prompt": "⟨prompt⟩", "head": "⟨head⟩"},
    ),
    "find-neuron": Question(
        group="neurons",
        sentence="is there a neuron for ⟨rule⟩",
        about="in the index, then tried on documents it has not seen, beside random neurons",
        synonyms="search detector selective",
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
    "neuron": Question(
        group="neurons",
        sentence="what does ⟨unit⟩ do",
        about="a neuron's card: what it fires on, what it promotes, its like",
        synonyms="look up inspect explain browse",
        experiment="neuron",
        blanks=(Blank(name="unit", kind=UNIT, example="L24.N1005", help="one neuron (L12.N345)"),),
        params={"unit": "⟨unit⟩"},
    ),
    "unit": Question(
        group="neurons",
        sentence="what does ⟨unit⟩ do on ⟨prompt⟩",
        about="its activation, token by token",
        synonyms="activation values head",
        experiment="activations",
        blanks=(
            Blank(name="unit", kind=UNITS, example="L24.N1005", help="units (L12.N345, L5.H3, L5.resid_post)"),
            PROMPT,
        ),
        params={"prompt": "⟨prompt⟩", "units": "⟨unit⟩"},
    ),
    "unusual": Question(
        group="neurons",
        sentence="what fires unusually on ⟨prompt⟩",
        about="all neurons against what the index has seen of each",
        synonyms="anomaly outlier surprising percentile",
        experiment="unusual",
        blanks=(PROMPT,),
        params={"prompt": "⟨prompt⟩"},
    ),
    "direction": Question(
        group="directions",
        sentence="find a direction for ⟨this⟩ against ⟨that⟩",
        about="two prompt sets: where in the stream they part, beside shuffled labels",
        synonyms="difference of means steering vector contrast concept",
        experiment="direction",
        blanks=(
            Blank(name="this", kind=PROMPT_SET, example="@harmful", help="a file of prompts, or a set by its @name"),
            Blank(name="that", kind=PROMPT_SET, example="@harmless", help="the prompts it is compared with"),
        ),
        params={"name": "⟨this.name⟩", "positive": "⟨this⟩", "negative": "⟨that⟩"},
    ),
    "what-direction": Question(
        group="directions",
        sentence="what is the direction ⟨direction⟩",
        about="what it promotes, the neurons that write it, its share of the stream",
        synonyms="vector project meaning cosine",
        experiment="project",
        blanks=(_DIRECTION,),
        params={"direction": "⟨direction⟩"},
    ),
    "more": Question(
        group="directions",
        sentence="make it more ⟨direction⟩, so that it says ⟨answer⟩",
        about="strengths by layers: effect against damage",
        synonyms="steer steering vector add boost",
        experiment="steer",
        blanks=(_DIRECTION, _ANSWER),
        beside=(PROMPT,),
        params={"direction": "⟨direction⟩", "target": "⟨answer⟩", "prompt": "⟨prompt⟩"},
    ),
    "stop-refusing": Question(
        group="directions",
        sentence="make it stop refusing ⟨these⟩",
        about="one direction, taken out of the stream, and what that costs",
        synonyms="refusal jailbreak abliterate uncensor ablate",
        experiment="refusal",
        blanks=(Blank(name="these", kind=PROMPT_SET, example="@harmful", help="prompts that it refuses"),),
        params={"harmful": "⟨these⟩"},
    ),
    "refuse": Question(
        group="directions",
        sentence="make it refuse ⟨those⟩",
        about="one direction, added to the stream, and what that costs",
        synonyms="refusal induce steer",
        experiment="refusal",
        blanks=(Blank(name="those", kind=PROMPT_SET, example="@harmless", help="prompts that it answers"),),
        params={"harmless": "⟨those⟩"},
    ),
    "feature": Question(
        group="probes",
        sentence="which neurons carry ⟨feature⟩",
        about="sparse probes of every layer on a labelled set, beside tokens alone",
        synonyms="sparse probe classifier selective",
        experiment="sparse-probe",
        blanks=(
            Blank(name="feature", kind=DATA_SET, example="months", help="a labelled set: its name, or a CSV file"),
        ),
        params={"data": "⟨feature⟩"},
    ),
    "fact": Question(
        group="probes",
        sentence="does it know ⟨facts⟩, and where",
        about="a probe on the stream at every layer, on statements it has not seen",
        synonyms="truth linear dense probe classifier",
        experiment="dense-probe",
        blanks=(
            Blank(
                name="facts", kind=DATA_SET, example="capitals", help="true and false statements: a set, or a CSV file"
            ),
        ),
        params={"data": "⟨facts⟩"},
    ),
    "only-about": Question(
        group="probes",
        sentence="is ⟨unit⟩ only about ⟨feature⟩",
        about="set to 0 class by class, beside matched neurons and random directions",
        synonyms="specific ablate monosemantic selective",
        experiment="probe-ablate",
        blanks=(
            Blank(name="unit", kind=UNITS, example="L24.N1005", help="neurons: L12.N345"),
            Blank(name="feature", kind=DATA_SET, example="months", help="a labelled set: its name, or a CSV file"),
        ),
        params={"units": "⟨unit⟩", "data": "⟨feature⟩"},
    ),
    "which-features": Question(
        group="probes",
        sentence="which of ⟨features⟩ have a neuron of their own",
        about="many labelled sets in one run: best neurons, baselines, ablations",
        synonyms="battery sweep benchmark haystack monosemantic",
        experiment="battery",
        blanks=(
            Blank(name="features", kind=DATA_SETS, example="months,plural,past", help="labelled sets, commas between"),
        ),
        params={"data": "⟨features⟩"},
    ),
    "features-on": Question(
        group="features",
        sentence="which features fire on ⟨text⟩",
        about="an SAE's features, token by token, beside how often each fires on a corpus",
        synonyms="sae sparse autoencoder dictionary latents activate",
        experiment="features",
        blanks=(Blank(name="text", kind=TEXT, example="We met in June and parted in May.", help="a text"),),
        params={"prompt": "⟨text⟩"},
    ),
    "sae-errors": Question(
        group="features",
        sentence="does the SAE ⟨sae⟩ hurt more than chance",
        about="its reconstruction in the activation's place, beside random errors at the same distance",
        synonyms="sparse autoencoder reconstruction pathological substitute",
        experiment="sae-errors",
        blanks=(Blank(name="sae", kind=SAE, example="all", help="a registered SAE, or all that fit the model"),),
        params={"sae": "⟨sae⟩"},
    ),
    "train-sae": Question(
        group="features",
        sentence="train a sparse autoencoder at ⟨site⟩",
        about="its features from a million tokens, and how much they keep on documents it has not seen",
        synonyms="sparse dictionary learning fit",
        experiment="sae-train",
        blanks=(Blank(name="site", kind=UNIT, example="L10.resid_post", help="a layer's site: L10.resid_post"),),
        params={"site": "⟨site⟩"},
    ),
}
"""by a name of their own"""
