"""A neuron for a word, a list of words or a pattern: from the index, tried on documents that it has not seen."""

from workbench.questions.question import Blank, Question

ORDER = 42
QUESTION = Question(
    sentence="is there a neuron for ⟨rule⟩",
    about="in the index, by what it fires on and what it promotes; tried on unseen text",
    experiment="find-neuron",
    blanks=(
        Blank(name="rule", kind="text", example="May, June, July", help="a word, a list of words, or a /pattern/"),
    ),
    params={"rule": "⟨rule⟩"},
)
