"""What is out of the ordinary about a text, neuron by neuron."""

from workbench.questions.question import PROMPT, Question

ORDER = 44
QUESTION = Question(
    sentence="what fires unusually on ⟨prompt⟩",
    about="all neurons against what the index has seen of each, and against chance",
    experiment="unusual",
    blanks=(PROMPT,),
    params={"prompt": "⟨prompt⟩"},
)
