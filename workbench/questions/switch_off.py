"""An ablation: the same prompt with and without a unit."""

from workbench.questions.question import PROMPT, Blank, Question

ORDER = 40
QUESTION = Question(
    sentence="what if I switch off ⟨unit⟩ in ⟨prompt⟩",
    about="an edit: clean beside edited",
    experiment="predict",
    blanks=(
        Blank(name="unit", kind="unit", example="L24.N1005", help="neurons or heads (L12.N345, L5.H3, L3.N10-20)"),
        PROMPT,
    ),
    params={"prompt": "⟨prompt⟩"},
    edits=("⟨unit⟩=0",),
)
