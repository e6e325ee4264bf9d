"""One neuron: its card from the index."""

from workbench.questions.question import Blank, Question

ORDER = 46
QUESTION = Question(
    sentence="what does ⟨unit⟩ do",
    about="a neuron's card: what it fires on, what it promotes, its like",
    experiment="neuron",
    blanks=(Blank(name="unit", kind="unit", example="L24.N1005", help="one neuron (L12.N345)"),),
    params={"unit": "⟨unit⟩"},
)
