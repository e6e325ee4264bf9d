"""Is there a neuron for something."""

from workbench.questions.question import Blank, Question

ORDER = 60
QUESTION = Question(
    sentence="is there a neuron for ⟨words⟩",
    about="in the index, then tried on documents it has not seen, beside random neurons",
    experiment="find-neuron",
    blanks=(
        Blank(name="words", kind="text", example="is_month", help="words (May, June), a /pattern/ or a token feature"),
    ),
    params={"rule": "⟨words⟩"},
)
