"""What fires unusually on a text."""

from workbench.questions.question import PROMPT, Question

ORDER = 61
QUESTION = Question(
    sentence="what fires unusually on ⟨prompt⟩",
    about="every neuron against its own distribution in the index, and how many chance would put there",
    experiment="unusual",
    blanks=(PROMPT,),
    params={"prompt": "⟨prompt⟩"},
)
