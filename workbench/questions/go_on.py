"""Generation."""

from workbench.questions.question import PROMPT, Question

ORDER = 60
QUESTION = Question(
    sentence="how does it go on after ⟨prompt⟩",
    about="generated text, greedy or sampled",
    experiment="generate",
    blanks=(PROMPT,),
    params={"prompt": "⟨prompt⟩"},
)
