"""`why` on ten factual prompts, and the neurons it picks tried on a paraphrase that the search has not seen.

    python -m tests.benchmarks.ten_prompts

Prints the table that README shows. An answer is called compact here if five neurons off leave at most half of its
probability, and less than each of 64 random fives and than fives picked in the same way for other answers. The search
chooses the five on the prompt itself, so the paraphrase is the test of them.
"""

from __future__ import annotations

import sys

PROMPTS = (
    ("The capital of France is", " Paris", "France is a country in Europe; its capital city is"),
    ("The capital of Japan is", " Tokyo", "Japan is a country in Asia; its capital city is"),
    ("The capital of Italy is", " Rome", "Italy is a country in Europe; its capital city is"),
    ("The opposite of hot is", " cold", "The antonym of hot is"),
    ("The opposite of up is", " down", "The antonym of up is"),
    ("The day after Monday is", " Tuesday", "If today is Monday, then tomorrow is"),
    ("Two plus two equals", " four", "Two and two make"),
    ("The color of the sky is", " blue", "On a clear day the sky looks"),
    (
        "The first president of the United States was George",
        " Washington",
        "The United States' first president was named George",
    ),
    ("Water is made of hydrogen and", " oxygen", "A molecule of water has two atoms of hydrogen and one atom of"),
)
SIZE = 5


def main() -> int:
    import numpy as np

    from workbench import open_lab
    from workbench.text import probability

    compact = held = 0
    print("| prompt | answer | clean → five off | 64 random fives | picked for other answers, lowest | compact | "
          "on a paraphrase | 64 random fives there |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with open_lab() as lab:
        for prompt, answer, paraphrase in PROMPTS:
            result = lab.why(prompt=prompt, answer=answer, size=SIZE)
            scalars = {name: float(value) for name, value in result.scalars.items()}
            clean, off = scalars["probability"], scalars["probability_off"]
            units = ", ".join(str(row[1]) for row in result.views["picked"].rows)
            is_compact = bool(scalars["beyond"]) and off <= clean / 2
            other = lab.effect(
                prompt=paraphrase, answer=answer, edits=[f"{units}[1-]=0"], controls=64, generate=0
            ).scalars
            paraphrased = [float(other[name]) for name in ("answer_probability", "answer_probability_edited")]
            beyond = float(other["kl"]) > float(other["kl_controls_high"]) and paraphrased[1] <= paraphrased[0] / 2
            compact += is_compact
            held += is_compact and beyond
            low, middle, high = np.exp([scalars[f"controls_{name}"] for name in ("low", "median", "high")])
            print(
                f"| {prompt} | '{answer}' | {probability(clean)} → {probability(off)} | "
                f"{probability(middle)} ({probability(low)}–{probability(high)}) | "
                f"{probability(float(np.exp(scalars['unrelated_lowest'])))} | {'yes' if is_compact else 'no'} | "
                f"{probability(paraphrased[0])} → {probability(paraphrased[1])} | "
                f"KL {float(other['kl']):.2g}, controls to {float(other['kl_controls_high']):.2g} |",
                flush=True,
            )
    print(f"\n{compact} of {len(PROMPTS)} compact; of these {held} fall by half or more on the paraphrase too")
    return 0


if __name__ == "__main__":
    sys.exit(main())
