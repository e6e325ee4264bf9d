"""A neuron for a word, a list of words or a pattern: from the index, tried on documents that it has not seen."""

from workbench.questions.question import Blank, Question

ORDER = 42
QUESTION = Question(
    sentence="is there a neuron for ⟨rule⟩",
    about="in the index, then tried on documents it has not seen, beside random neurons",
    experiment="find-neuron",
    blanks=(
        Blank(
            name="rule",
            kind="text",
            example="May, June, July",
            help="words, a /pattern/, or a token feature (is_month)",
        ),
    ),
    params={"rule": "⟨rule⟩"},
)
