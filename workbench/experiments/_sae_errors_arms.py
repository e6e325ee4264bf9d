"""The substitutions of `sae-errors` as people read them: names, formulas, and which lie at one distance from x."""

from __future__ import annotations

from typing import NamedTuple


class Arm(NamedTuple):
    name: str
    formula: str
    same_distance: bool = False


ARMS = {
    "sae": Arm("SAE", "s", True),
    "eps": Arm("ε-random", "x + ‖s−x‖ · g/‖g‖, g ~ N(0, I)", True),
    "theta": Arm("θ-random", "as far from x's direction as s, ‖s‖ long", True),
    "eps-sigma": Arm("ε-Σ", "x + ‖s−x‖ · g/‖g‖, g ~ N(0, Σ)", True),
    "eps-pair": Arm("ε-pair", "the same distance along the difference of two other activations", True),
    "eps-other": Arm("ε-other", "the same distance along another token's SAE error", True),
    "norm-corrected": Arm("SAE, norm ‖x‖", "s · ‖x‖/‖s‖"),
    "sae-norm": Arm("x, norm ‖s‖", "x · ‖s‖/‖x‖"),
    "theta-true": Arm("θ-random, ‖x‖", "as θ-random, ‖x‖ long"),
    "zero": Arm("zero", "0"),
    "mean": Arm("mean", "the sample's mean"),
    "one-factor": Arm("SAE, one factor for all features", "decode(c · a)"),
    "feature-factors": Arm("SAE, one factor for each feature", "decode(c_f · a_f)"),
}
"""in the order of tables"""
BASELINES = tuple(key for key, arm in ARMS.items() if arm.same_distance and key != "sae")
SHOWN = ("sae", "eps", "eps-sigma")
"""in plots of tokens and positions"""
CHANCE = "random errors at the same distance: ε-random is isotropic, ε-Σ has the activations' covariance"
