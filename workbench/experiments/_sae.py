"""What experiments on SAEs share: one opened by its name, checked against the model, and recorded with its hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.artifacts import Facts
from workbench.artifacts.sae import EVERY, config_facts, content_of, find_sae, list_saes, training_corpus
from workbench.errors import UserError
from workbench.text import count, number

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.sae.fitting import Fit
    from workbench.lab.sae.placing import PlacedSae
    from workbench.report import Report


@dataclass(frozen=True)
class OpenedSae:
    name: str
    hash: str
    placed: PlacedSae
    fit: Fit
    facts: Facts
    corpus: str
    """what it was trained on, as `--corpus` takes it; empty where its folder does not say"""


def open_sae(lab: Lab, name: str, report: Report) -> OpenedSae:
    """The SAE of this name at its site of the model; what does not fit, or may not, goes to the notes.

    Raises UserError where there is none, its folder is damaged, or it can't be this model's.
    """
    from workbench.lab.identify import identify
    from workbench.lab.sae.fitting import fit
    from workbench.lab.sae.placing import place
    from workbench.lab.sae.reading import read_sae

    artifact = find_sae(name)
    loaded = read_sae(Path(artifact.path), source=artifact.name)
    placed = place(lab.model, loaded.sae)
    report.uses(content_of(artifact), artifact.name)
    if artifact.fingerprint:
        identify(lab, report)
    fitted = fit(lab.model, placed, artifact.fingerprint)
    for flag in fitted.flags:
        report.note(f"{artifact.name}: {flag}")
    for remark in [*placed.remarks, *loaded.remarks]:
        report.note(f"{artifact.name}: {remark}")
    config = loaded.sae.config
    facts = [*config_facts(config), ("hash", artifact.hash[:12])]
    if config.unscaled:
        facts.append(("scale measured here", f"{number(fitted.scale)}, over {count(fitted.tokens)} tokens"))
    return OpenedSae(artifact.name, artifact.hash, placed, fitted, facts, training_corpus(Path(artifact.path)))


def open_saes(lab: Lab, name: str, report: Report) -> list[OpenedSae]:
    """The one of this name, or with EVERY or no name all that fit; those that don't go to the notes.

    Raises UserError where none fits.
    """
    every = [artifact.name for artifact in list_saes()] or [""]
    names = every if name.strip() in ("", EVERY) else [name]
    opened, problems = [], []
    for each in names:
        try:
            opened.append(open_sae(lab, each, report))
        except UserError as error:
            if len(names) == 1:
                raise
            problems.append(f"{each}: {error}")
    for problem in problems:
        report.note(f"left out: {problem}")
    if not opened:
        raise UserError(f"none of the {len(names)} registered SAEs fits this model: {problems[0]}")
    return opened
