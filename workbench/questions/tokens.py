"""Tokenization."""

from workbench.questions.question import PROMPT, Question

ORDER = 70
QUESTION = Question(
    sentence="how is ⟨prompt⟩ split into tokens",
    about="its tokens with their ids, the BOS, what the chat template wrote",
    experiment="tokens",
    blanks=(PROMPT,),
    params={"prompt": "⟨prompt⟩"},
)
