"""The probability and rank of one answer."""

from workbench.questions.question import PROMPT, Blank, Question

ORDER = 20
QUESTION = Question(
    sentence="how likely is ⟨answer⟩ after ⟨prompt⟩",
    about="one answer's probability and rank",
    experiment="predict",
    blanks=(
        Blank(name="answer", kind="token", example=" Paris", help="the answer as a token, with its leading space"),
        PROMPT,
    ),
    params={"prompt": "⟨prompt⟩", "answer": "⟨answer⟩"},
)
