"""Ten neurons of the default model and what each should fire on, tried on documents the index has not seen.

    python -m tests.benchmarks.ten_neurons [TOKENS]

Needs the index that README's command builds. Prints the table that README shows; the neurons and their rules were
chosen by looking at the index, so the AUC on other documents is the test of them.
"""

from __future__ import annotations

import sys

from workbench.report import Report

NEURONS = (
    ("L23.N1269", "is_modal", "a modal verb: can, may, must …"),
    ("L22.N782", "prev_same", "a token that repeats the one before"),
    ("L25.N779", "may", "the word 'may'"),  # its feature is is_month, but no month has been seen to move it
    ("L8.N1155", "is_error_word", "a word about errors"),
    ("L6.N1083", "token_self", "the token 'self'"),
    ("L22.N1293", "is_digit", "a digit"),
    ("L18.N13", "is_all_caps", "a word in capitals"),
    ("L20.N1427", "letter_d", "a token that begins with d"),
    ("L19.N1363", "is_equals", "an equals sign"),
    ("L21.N455", "is_ending_ed", "a token that ends in -ed"),
)
TOKENS = 15_000
RANDOM = 64
SEED = 0


class _Silent:
    def changed(self, report: Report) -> None:
        pass

    between_batches = streamed = changed


def main(tokens: int) -> int:
    from workbench.experiments._index import open_index
    from workbench.experiments.find_neuron import rule_direction
    from workbench.lab import neurons
    from workbench.lab.finding.fingerprint import fingerprint
    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab
    from workbench.units import parse_unit

    source = resolve("default")
    lab = load_lab(source).job(seed=SEED)
    lab.set_fingerprint(fingerprint(source))
    index = open_index(lab.info, data=True)
    print(f"index {index.folder.name}: {index.n_tokens:,} tokens of {index.n_documents} documents\n")
    print("| neuron | fires on | rule | AUC (95 %) | random neurons of its layer: median, best of 64 | tokens | hits |")
    print("|---|---|---|---|---|---|---|")
    for name, text, words in NEURONS:
        unit, rule = parse_unit(name, lab.info), neurons.read_rule(index, text)
        pair = (unit, rule_direction(index, rule, unit))
        result = neurons.try_rule(lab, index, rule, [pair], "", tokens, RANDOM, Report(_Silent()))
        tried = result.scores[0]
        goes = "" if tried.direction > 0 else " (goes low)"
        print(
            f"| {name} | {words}{goes} | `{text}` | {tried.auc:.3f} ({tried.low:.3f}–{tried.high:.3f}) | "
            f"{tried.random_median:.2f}, {tried.random_best:.2f} | {result.tokens:,} | {result.hits:,} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else TOKENS))
