"""What comes next, and how sure the model is."""

from workbench.questions.question import PROMPT, Question

ORDER = 10
QUESTION = Question(
    sentence="what comes after ⟨prompt⟩",
    about="the likeliest next tokens, and how surprised it was on the way",
    experiment="predict",
    blanks=(PROMPT,),
    params={"prompt": "⟨prompt⟩"},
)
