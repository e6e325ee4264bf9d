"""A model as we open it beside the reference, and the same edits for both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from tests.architectures.reference import Change, Reference
from tests.lab.test_every_edit import along, at, head, middle, neuron
from workbench.artifacts.direction import Direction
from workbench.lab.model import Lab
from workbench.units import Site

PROMPT = "When Mary and John went to the store, John gave a drink to Mary. The capital of"
OTHER = "When John and Mary went to the store, Mary gave a drink to John. The river is"
"""as many tokens; both are longer than any sliding window of the configs"""


class Pair:
    """A model as we open it, and the reference."""

    def __init__(self, lab: Lab, reference: Reference) -> None:
        vector = np.random.default_rng(3).standard_normal(lab.info.d_model).astype("<f4")
        direction = Direction(name="d", vector=vector.tobytes())
        self.direction = torch.from_numpy(vector)
        self.lab = lab.job(directions={"d": direction})
        self.reference = reference
        self.remarks: list[str] = []
        self.unreached = {site.name for site in lab.model.sites.unreached}
        """sites at which edits are refused: what is put there is not what the stream gets"""

    def ids(self, text: str) -> torch.Tensor:
        """int64 [1, position]"""
        return torch.from_numpy(self.lab.prompt(text).ids)[None]

    def edits(self) -> list[tuple[str, list[Change]]]:
        """Edits in our grammar, and the same as plain hooks."""
        return [(text, changes) for text, changes in self._every_edit() if not self._is_unreached(text)]

    def refused(self) -> list[str]:
        """Edits that have to be refused."""
        return [text for text, _ in self._every_edit() if self._is_unreached(text)]

    def _is_unreached(self, text: str) -> bool:
        everywhere = text.startswith("@") and {"attn_out", "mlp_out"} & self.unreached
        return bool(everywhere) or any(site in text for site in self.unreached)

    def _every_edit(self) -> Iterator[tuple[str, list[Change]]]:
        n_heads, n, d = self.reference.n_heads, self.ids(PROMPT).shape[1], self.direction
        other = {site: self.reference.read(self.ids(OTHER), 1, site) for site in ("z", "resid_pre", "mlp_post")}
        other_heads = other["z"].unflatten(-1, (n_heads, -1))
        yield "L1.N2=0", [(1, "mlp_post", neuron(2, lambda a: a * 0))]
        yield "L1.N2-9[1-]=2", [(1, "mlp_post", at(1, n, neuron(slice(2, 10), lambda a: a * 0 + 2)))]
        yield "L1.N3*=-3", [(1, "mlp_post", neuron(3, lambda a: a * -3))]
        yield "L1.N3+=1.5", [(1, "mlp_post", neuron(3, lambda a: a + 1.5))]
        yield "L1.H2=0", [(1, "z", head(2, n_heads, lambda z: z * 0))]
        yield "L1.H1[last]*=2", [(1, "z", at(n - 1, n, head(1, n_heads, lambda z: z * 2)))]
        for site in ("resid_pre", "resid_post", "attn_out", "mlp_out"):
            yield f"L1.{site}*=.5", [(1, site, lambda x: x * 0.5)]
            yield f"L1.{site}[2-]+=2*@d", [(1, site, at(2, n, lambda x: x + 2 * d))]
            yield f"L1.{site}@d=0", [(1, site, along(d, lambda c: c * 0))]
        sites = [(layer, site) for layer in range(4) for site in ("resid_pre", "attn_out", "mlp_out")]
        yield "@d=0", [(*place, along(d, lambda c: c * 0)) for place in sites]
        if self.has_middle:
            yield "L1.resid_mid*=.5", middle(1, lambda x: x * 0.5)
            if (
                not self.reference.architecture.added_times
            ):  # a factor would leave rounding there, which a norm blows up
                yield "L1.resid_mid[last]=0", middle(1, at(n - 1, n, lambda x: x * 0))
        yield f'L1.resid_pre[1-3]<"{OTHER}"', [(1, "resid_pre", at(1, 4, lambda x: other["resid_pre"]))]
        yield f'L1.H2<"{OTHER}"', [(1, "z", head(2, n_heads, lambda z: other_heads[:, :, 2]))]
        yield f'L1.N4<"{OTHER}"', [(1, "mlp_post", neuron(4, lambda a: other["mlp_post"][..., 4]))]

    @property
    def has_middle(self) -> bool:
        """Whether there is a resid_mid; a remark where there is none."""
        if Site(1, "resid_mid") in self.lab.model.sites:
            return self.reference.architecture.middle
        self.remarks = ["no resid_mid: attention and MLP read the same stream"]
        return False
