"""Activation patching: where two prompts part."""

from workbench.questions.question import PROMPT, Blank, Question

ORDER = 45
QUESTION = Question(
    sentence="what differs between ⟨prompt⟩ and ⟨other⟩",
    about="activations of one prompt put into the other: where the answer changes",
    experiment="patch",
    blanks=(
        PROMPT,
        Blank(name="other", kind="text", example="The capital of Italy is", help="a prompt of as many tokens"),
    ),
    params={"prompt": "⟨prompt⟩", "corrupted": "⟨other⟩"},
)
