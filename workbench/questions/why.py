"""The question everyone starts with."""

from workbench.questions.question import PROMPT, Blank, Question

ORDER = 25
QUESTION = Question(
    sentence="why does it say ⟨answer⟩ after ⟨prompt⟩",
    about="which parts make the answer, against chance",
    experiment="why",
    blanks=(
        Blank(name="answer", kind="token", example=" Paris", help="the answer as a token, with its leading space"),
        PROMPT,
    ),
    params={"prompt": "⟨prompt⟩", "answer": "⟨answer⟩"},
)
