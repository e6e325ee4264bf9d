"""A unit's activation over a prompt."""

from workbench.questions.question import PROMPT, Blank, Question

ORDER = 50
QUESTION = Question(
    sentence="what does ⟨unit⟩ do on ⟨prompt⟩",
    about="its activation, token by token",
    experiment="activations",
    blanks=(
        Blank(name="unit", kind="unit", example="L24.N1005", help="units (L12.N345, L5.H3, L5.resid_post)"),
        PROMPT,
    ),
    params={"prompt": "⟨prompt⟩", "units": "⟨unit⟩"},
)
