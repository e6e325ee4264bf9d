"""The logit lens: what each layer would say if it were the last."""

from workbench.questions.question import PROMPT, Question

ORDER = 30
QUESTION = Question(
    sentence="what is it thinking, layer by layer, at ⟨prompt⟩",
    about="logit lens: each layer's own best guess",
    experiment="logit-lens",
    blanks=(PROMPT,),
    params={"prompt": "⟨prompt⟩"},
)
