"""What a neuron does."""

from workbench.questions.question import Blank, Question

ORDER = 62
QUESTION = Question(
    sentence="what does ⟨neuron⟩ do",
    about="its most extreme examples, what it promotes, how it compares",
    experiment="neuron",
    blanks=(Blank(name="neuron", kind="unit", example="L20.N1103", help="a neuron (L12.N345)"),),
    params={"unit": "⟨neuron⟩"},
)
