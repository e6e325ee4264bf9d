"""Keys of results that a screen reads: of views, columns, rows and numbers. The experiment writes by them.

Keys that no screen reads stand in the experiment's own file alone.
"""

from __future__ import annotations


class NextToken:
    """The likeliest next tokens of `predict` and `why`, one a row."""

    VIEW = "next"
    TOKEN = "token"
    PROBABILITY = "probability"
    """without the edits"""
    PROBABILITY_EDITED = "probability_edited"
    ASKED = "asked"
    """of `why`: ANSWER, FOIL or empty"""
    ANSWER, FOIL = "answer", "foil"


class TokenIds:
    """A text token by token, of `tokens`."""

    VIEW = "ids"
    TOKEN = "token"
    ORIGIN = "origin"
    """who wrote it: TEXT, or the tokenizer or the chat template"""
    TEXT = "text"
    CHAT = "chat"
    """where the chat template changed the text, so that nobody can say who wrote which token"""


class Answer:
    """Numbers of a step about one answer; edited ones are under its edits."""

    PROBABILITY_EDITED = "answer_probability_edited"
    DIFFERENCE_EDITED = "logit_difference_edited"


class Effect:
    """Numbers of a step under edits: their KL of the next token beside that of matched controls."""

    KL = "kl"
    CONTROLS = "controls"
    """how many"""
    LOW, MEDIAN, HIGH = "kl_controls_low", "kl_controls_median", "kl_controls_high"
    """5 %, half, 95 %"""
    PERCENTILE = "kl_percentile"
    """0 to 1: (smaller + ½(ties + 1)) / (n + 1)"""
    ROUNDING = "kl_rounding"
    """what rounding alone makes on the same prompts: a KL that is no larger is no effect"""


class Units:
    """Every neuron or head switched off by itself, one a row; views of `sweep` and `why`."""

    NEURONS, HEADS, WHERE = "neurons", "heads", "where"
    """WHERE is the heatmap of layers and positions"""
    FEATURES = "features"
    """of an SAE, where one was named"""
    UNIT = "unit"
    ESTIMATE, EXACT = "estimate", "exact"
    LEFT = "left"
    """of the answer, with the unit off"""
    BEYOND = "beyond"
    """it stands out from chance, which other answers give: YES, else something else, empty while that is not known"""
    YES = "yes"

    @staticmethod
    def beyond(kind: str) -> str:
        """The number of units of a kind that stand out from chance; the number of all has the kind's own name."""
        return f"{kind}_beyond"


class Picked:
    """The few that matter together, in the order in which `why` took them; columns as those of `Units`."""

    VIEW = "picked"
    TOGETHER = "together"


class Verdict:
    """What is left of the answer, one thing switched off a row: the last views of `why`."""

    VIEW = "verdict"
    WHAT, WHICH = "what", "which"
    LEFT, LOW, HIGH = "left", "low", "high"
    """a value, or the median with 5 and 95 %"""
    OWN = "own"
    CLEAN, PICKED, OTHER_ANSWER, RANDOM, SAME_DISTANCE = "clean", "picked", "other_answer", "random", "same_distance"
    """rows"""
    IS_BEYOND = "beyond"
    """number: 1 where the pick does more than everything it is compared with"""


class Direct:
    """What the parts write straight into the logits: bars of `dla` and `why`."""

    VIEW = "direct"
    EMBEDDING, HEADS, MLPS, BIASES = "embedding", "heads", "mlps", "biases"
    EDITS, ROUNDING, UNACCOUNTED = "edits", "rounding", "unaccounted"
    """what the parts lack of the whole, by its cause"""


class Ranking:
    """How far out every neuron of the model is on a text, in its order: of `unusual`."""

    VIEW = "all"


class Stages:
    """What a `why` that runs says it is doing, in this order; the first four are a `sweep`'s."""

    NEURONS, HEADS, STREAM, CHANCE = "neurons, exact", "heads, exact", "stream, exact", "estimates for other answers"
    FEATURES = "features, exact"
    """of a `sweep` with an SAE"""
    SEARCH = "searching"
    RANDOM, SAME_DISTANCE = "random neurons", "random directions"
    OTHER_ANSWERS = "the same for other answers"
    ALL = (NEURONS, HEADS, STREAM, CHANCE, SEARCH, RANDOM, SAME_DISTANCE, OTHER_ANSWERS)


class Separation:
    """How well a direction tells apart what it was not made from: views of `direction`."""

    BY_LAYER = "separation"
    """lines: two prompt sets, beside shuffled labels"""
    ALONG = "projections"
    """two histograms"""


class Along:
    """What a direction is held against: views of `project`."""

    PROMOTES = "promotes"
    """the tokens of either end, a pair a row"""
    TOKEN, LOGITS = "promotes", "promotes_logits"
    SUPPRESSED, SUPPRESSED_LOGITS = "suppresses", "suppresses_logits"
    LARGEST_RANDOM = "largest_logit_random"
    """number: the largest |logit| of a random direction, median"""
    NEURONS = "neurons"
    RELATION, UNIT, COSINE, BEYOND = "relation", "unit", "cosine", "beyond"
    """BEYOND is empty where chance explains it"""
    DIRECTIONS = "directions"
    DIRECTION, RANDOM = "direction", "random"
    """RANDOM: |cosine| of random directions, 95 %"""


class Steering:
    """What `steer` found; numbers are of the strength that it chose."""

    FRONT = "front"
    LAYER, STRENGTH = "layer", "strength"


class Continued:
    """What `generate` wrote after one prompt: views with and without the edits."""

    CLEAN, EDITED = "clean", "edited"
    PERPLEXITY, PERPLEXITY_EDITED = "perplexity", "perplexity_edited"
    """numbers, of the text under the unedited model"""


class SparseProbe:
    """What `sparse-probe` found; numbers are of the chosen probe on test."""

    MAP = "map"
    """heat map of validation MCC: layers and k"""
    F1, MCC, AUC = "f1", "mcc", "auc"
    """lines against k; numbers of the chosen probe, with LOW and HIGH"""
    SCORES = "scores"
    """of the chosen probe on test, a score a row"""
    NEURONS = "neurons"
    """the chosen probe's, the largest weight first"""
    UNIT, WEIGHT, TRAIN_AUC = "unit", "weight", "train_auc"
    CURVE = "precision_recall"
    METHODS = "methods"
    """rankers and adaptive thresholding side by side at the chosen layer"""
    BASELINES = "baselines"
    WHAT = "what"
    LAYERS = "layers"
    """the best of each layer by validation"""
    LAYER, K = "layer", "k"
    """numbers: what was chosen"""
    EXAMPLES, POSITIVES, TEST, DOCUMENTS = "examples", "positives", "test_examples", "test_documents"
    """numbers: of the set as it was probed"""
    P = "null_p"
    """number: how often permuted labels give as large an MCC"""
    TOKENS_ALONE = "tokens_alone"
    """number: the best MCC of a probe that reads tokens and no activations"""

    @staticmethod
    def low(name: str) -> str:
        return f"{name}_low"

    @staticmethod
    def high(name: str) -> str:
        return f"{name}_high"


class DenseProbe:
    """What `dense-probe` found; numbers are of the chosen layer on test."""

    LAYERS = "layers"
    """lines: AUC (R² of numbers) on validation by layer"""
    BY_LAYER = "by_layer"
    LAYER, HEAD = "layer", "head"
    """columns, `L12` and `H3`; and numbers; HEAD where heads have probes of their own"""
    HEADS = "heads"
    """heat map: the score that leads on validation, layer × head"""
    AUC, MCC, F1, R2 = "auc", "mcc", "f1", "r2"
    """columns on validation; numbers on test, with LOW and HIGH of the first"""
    LOW, HIGH = "low", "high"
    """of the score that leads: MCC, or R²"""
    CURVE = "precision_recall"
    PREDICTED = "predicted"
    """scatter of numbers: target and prediction on test"""
    TOGETHER, PROXIMITY = "together", "proximity_error"
    """table: several targets of the same texts; number: their joint error, 0 to ½ by chance"""
    BASELINES = "baselines"
    WHAT = "what"
    REFIT = "refit"
    """what a probe still reads once directions are projected out"""
    P = "null_p"
    """number: how often permuted test labels give as large a score"""
    TOKENS_ALONE = "tokens_alone"
    """number: the best score of a probe that reads tokens and no activations"""
    CONTROL = "control_task"
    """number: AUC of the same probe on control tasks; the difference is the selectivity"""
    RECALL = "recall_ordinary"
    """number: at 1 % false positives on ordinary text"""
    LEFT, LEFT_RANDOM = "refit_left", "refit_random"
    """numbers: score refitted without the direction; the median without random ones"""


class ProbeApply:
    """What `probe-apply` read with a kept probe."""

    SCORES = "scores"
    """a row for the set, one for the probe's own test set, then baselines"""
    WHAT = "what"
    AUC, MCC, F1, R2 = "auc", "mcc", "f1", "r2"
    """columns; and numbers of the set, with LOW and HIGH of the first"""
    LOW, HIGH = "low", "high"
    P = "null_p"
    ALONG = "along"
    """histogram of scores by class; of numbers a scatter"""
    TEXT = "text"
    """the text's tokens, the threshold at 0"""
    READ = "tokens_read"
    """number: tokens of the text that the probe says are of the second class"""


class NeuronProbe:
    """What `neuron-probe` found: every neuron by itself; numbers are of the best one on test."""

    NEURONS = "neurons"
    """the best ones by train AUC, a neuron a row; UNIT names it"""
    UNIT = "unit"
    BY_LAYER = "by_layer"
    """train AUC by layer, beside the null of the best of all"""
    EVERY = "every_auc"
    """histogram of every neuron's train AUC, beside permuted labels"""
    SCORES = "scores"
    """of the best one on test, a score a row"""
    BY_CLASS = "by_class"
    """histogram of the best neuron's activation, a series a class"""
    CURVE = "precision_recall"
    ERRORS = "errors"
    """tokens: texts that the best neuron gets wrong"""
    BASELINES = "baselines"
    AUC, MCC, F1 = "auc", "mcc", "f1"
    LOW, HIGH = "low", "high"
    """of MCC"""
    LAYER = "layer"
    TOKENS_ALONE = "tokens_alone"
    """number: the best MCC of a probe that reads tokens and no activations"""
    P = "null_p"
    """number: how often the best of all neurons under permuted labels does as well"""


class Battery:
    """What `battery` found: a row a set, and each set's layers."""

    SETS = "sets"
    """a row a set; SET names it"""
    SET, UNIT = "set", "unit"
    ONE, BEST = "one_neuron", "best_k"
    """heat maps, set × layer: MCC on validation of one neuron, and of the best k"""
    COMPARED = "compared"
    """bars: one neuron, k neurons, tokens alone, random neurons"""
    NEURONS = "neurons"
    """each set's best neuron set to 0, by class"""
    LAYERS = "layers"
    """a row a set and layer"""
    DONE, FAILED, MONOSEMANTIC = "done", "failed", "monosemantic"
    """numbers: how many sets"""
    ALONE, TOGETHER = "one_at_90", "k_at_90"
    """numbers: how many sets have MCC ≥ .9 on test with one neuron, with k"""


class Labels:
    """What `labels` found: a set's texts as tokens."""

    @staticmethod
    def text(at: int) -> str:
        """The key of a text, counted from 0."""
        return f"text_{at}"


class ProbeAblate:
    """What `probe-ablate` found: units set to 0, by class."""

    CLASSES = "classes"
    """a row a unit and class, beside matched controls"""
    UNIT, CLASS = "unit", "class"
    VERDICT = "verdict"
    """a row a unit: is it monosemantic, and why not"""
    KL = "kl"
    """bars of the first unit's KL by class, beside its controls"""
    BY_CLASS = "by_class"
    ERRORS = "errors"
    """of the first unit, as those of `neuron-probe`"""
    MONOSEMANTIC = "monosemantic"
    """number: how many of the units, by the rule of METHODS, "Monosemantic", are so"""


class Features:
    """What `features` found on a text."""

    TOKENS = "tokens"
    """the strip of tokens, a row for each of the strongest features"""
    FEATURES, BY_TOKEN = "features", "by_token"
    """tables: of the whole text, and of each token"""
    EXPLAINED, L0 = "explained", "l0"
    """by token: share of the squared norm, how many fire"""
    FEATURE, CONTRIBUTION, RATIO = "feature", "contribution", "ratio"
