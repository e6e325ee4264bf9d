"""Which SAE a feature's address means: the one it names, or the only one of its layer that fits the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from workbench.artifacts import sae
from workbench.artifacts._artifact import Artifact
from workbench.artifacts._sae_config import SaeConfig
from workbench.artifacts.activations import site_width
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.text import count, quoted

_FEATURE = re.compile(r"(?<![\w.@/])[Ll](?P<layer>\d+)\.[Ff]\d+(?:-\d+)?(?=~|[\s,]|$)")
_NAMED = re.compile(
    rf"[Ll][\d-]+\.[Ff][\d-]+/(?P<unit>{sae.NAME_PATTERN})|@L\d+\.F\d+\.(?:dec|enc)\.(?P<direction>{sae.NAME_PATTERN})"
)
_DIRECTION = re.compile(r"@L(?P<layer>\d+)\.F\d+\.(?:dec|enc)(?![\w.-]*\w)")


def sae_of_layer(layer: int, name: str = "", info: ModelInfo | None = None) -> Artifact:
    """The SAE of features `L{layer}.F…/name`; without a name the only one there is of the layer.

    With `info`, only one of the model's width at its site counts. Raises UserError, listing those of the layer.
    """
    candidates = {artifact.name: artifact for artifact in saes_of_layer(layer, info)}
    if name in candidates:
        return candidates[name]
    names = ", ".join(f"L{layer}.F…/{other}" for other in sorted(candidates))
    if name:
        encoded = encoded_site(config_of(sae.find_sae(name)))
        other = encoded is not None and encoded[0] != layer
        wrong = f"of layer {encoded[0]}, not {layer}" if encoded and other else "of another model's width"
        raise UserError(
            f"the SAE {quoted(name)} is {wrong}: "
            + (f"write {names}" if names else f"no SAE of layer {layer} is registered")
        )
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    if candidates:
        raise UserError(f"layer {layer} has {len(candidates)} SAEs: say whose feature it is, {names}")
    raise UserError(
        f"no SAE of layer {layer} is registered that fits, so it has no features: "
        "workbench sae add FOLDER|ORG/NAME/PATH reads one"
    )


def check_feature(artifact: Artifact, index: int) -> None:
    """Raises UserError where the SAE has no such feature."""
    width = config_of(artifact).d_sae
    if index >= width:
        raise UserError(
            f"there is no feature {index}: the SAE {artifact.name} has {count(width)} features, 0 to {width - 1}"
        )


def saes_of_layer(layer: int, info: ModelInfo | None = None) -> list[Artifact]:
    """Those that read a site of the layer, with `info` as wide as the model's; newest first."""
    return [artifact for artifact in sae.list_saes() if not artifact.problem and _reads(artifact, layer, info)]


def with_sae_names(text: str, info: ModelInfo | None = None) -> str:
    """A list of units with every feature's SAE written out: `L10.F77/res-10`, `@L10.F77.dec.res-10`.

    Features of a range of layers stay as they are. Raises UserError where a layer has none, or several.
    """

    def named(behind: str) -> Callable[[re.Match[str]], str]:
        return lambda match: match[0] + behind + sae_of_layer(int(match["layer"]), "", info).name

    return _DIRECTION.sub(named("."), _FEATURE.sub(named("/"), text))


def sae_names(texts: Iterable[str]) -> list[str]:
    """The SAEs that features and their directions name in these texts, each once."""
    matches = (match for text in texts for match in _NAMED.finditer(text))
    return list(dict.fromkeys(match["unit"] or match["direction"] for match in matches))


def encoded_site(config: SaeConfig) -> tuple[int, str] | None:
    """Layer and site that an SAE reads; None where its folder does not say."""
    match = re.fullmatch(r"L(\d+)\.(\w+)", config.site)
    return (int(match[1]), match[2]) if match else None


def _reads(artifact: Artifact, layer: int, info: ModelInfo | None) -> bool:
    """Whether it reads a site of this layer, as wide as the model's."""
    try:
        config = config_of(artifact)
    except UserError:
        return False
    site = encoded_site(config)
    return site is not None and site[0] == layer and (info is None or site_width(info, site[1]) == config.d_in)


def config_of(artifact: Artifact) -> SaeConfig:
    """Of a registered one. Raises UserError where its folder is damaged."""
    return _config(artifact.path, artifact.hash)


@lru_cache(maxsize=256)
def _config(path: str, hash: str) -> SaeConfig:
    """Kept by content: units are resolved often."""
    return sae.stored_config(Path(path))[0]
