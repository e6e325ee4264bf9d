"""Which SAEs a job's features are of, written into its report: with the hash, what may not fit, and what edits do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workbench.artifacts import Artifact, sae_names, sae_of_layer, with_sae_names
from workbench.artifacts.sae import content_of, find_sae
from workbench.edits import Add
from workbench.lab.identify import identify
from workbench.lab.model import Lab
from workbench.lab.sae.features import registered_sae
from workbench.lab.sae.fitting import fit
from workbench.report import Report
from workbench.units import Feature


def record_saes(lab: Lab, named: Iterable[Any], report: Report) -> None:
    """Of the features in a job's edits, and in the texts `named` among its parameters. Raises UserError."""
    features = [unit for edit in lab.edits for unit in edit.units if isinstance(unit, Feature)]
    saes: dict[str, Artifact] = {}
    for layer, name in dict.fromkeys((unit.layer, unit.sae) for unit in features):
        artifact = sae_of_layer(layer, name, lab.info)
        saes[artifact.name] = artifact
        for reconstructed in sorted(
            {unit.reconstructed for unit in features if (unit.layer, unit.sae) == (layer, name)}
        ):
            report.note(_how(artifact.name, str(registered_sae(lab.model, artifact).placed.site_out), reconstructed))
    texts = [text for text in named if isinstance(text, str)]
    texts += [f"@{edit.edit.direction}" for edit in lab.edits if isinstance(edit.edit, Add) and edit.edit.direction]
    for name in sae_names(with_sae_names(text, lab.info) for text in texts):
        saes.setdefault(name, find_sae(name))
    for artifact in saes.values():
        registered = registered_sae(lab.model, artifact)
        report.uses(content_of(artifact), artifact.name)
        if registered.flags is None:
            if artifact.fingerprint:
                identify(lab, report)
            registered.flags = fit(lab.model, registered.placed, artifact.fingerprint).flags
        for sentence in [*registered.flags, *registered.remarks]:
            report.note(f"{artifact.name}: {sentence}")


def _how(name: str, site: str, reconstructed: bool) -> str:
    if reconstructed:
        return f"edits of features with ~ put the reconstruction of {name} in place of {site}: its error is left out"
    return f"edits of features of {name} add what they change to {site}: the SAE's error stays (~ leaves it out)"
