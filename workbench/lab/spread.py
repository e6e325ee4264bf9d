"""A model whose blocks lie on several devices.

What stands before and behind the blocks is on the first device, the model's home, and so is all that a pass is given
and all that it leaves: ids, edits, what is captured and watched. Blocks are sent what they work on before they run, and
hooks see activations at home. Key-value caches alone stay where their blocks are.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import torch

from workbench.lab.finding.placement import Placement
from workbench.model_info import LayersOn

Hook = Callable[..., torch.Tensor | None]


def device_map(folder: Path, placement: Placement) -> dict[str, str] | None:
    """Modules of the Hugging Face model to devices, as `from_pretrained` takes it; None on the CPU."""
    import transformers

    if placement.device == "cpu":
        return None
    if not placement.spread:
        return {"": placement.device}
    with torch.device("meta"):  # for the modules' names alone
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        module: Any = transformers.AutoModelForCausalLM.from_config(config)
    n_layers = placement.spread[-1].last + 1
    blocks_name = next(
        name
        for name, child in module.named_modules()
        if isinstance(child, torch.nn.ModuleList) and len(child) == n_layers
    )
    places, prefix = {}, ""
    for part in blocks_name.split("."):
        places.update({f"{prefix}{name}": placement.device for name, _ in module.named_children() if name != part})
        module, prefix = getattr(module, part), f"{prefix}{part}."
    for layers in placement.spread:
        places.update({f"{prefix}{layer}": layers.device for layer in range(layers.first, layers.last + 1)})
    return places


def layers_on(bridge: Any, home: torch.device) -> tuple[LayersOn, ...]:
    """Which layers lie where; empty where all are at home."""
    runs: list[LayersOn] = []
    for layer, block in enumerate(bridge.blocks):
        device = str(next(block.parameters()).device)
        first = runs.pop().first if runs and runs[-1].device == device else layer
        runs.append(LayersOn(device, first, layer))
    return tuple(runs) if {layers.device for layers in runs} != {str(home)} else ()


def send_to_blocks(bridge: Any, home: torch.device) -> None:
    """For good: every block is sent its arguments, and what the last one leaves is sent home."""
    for block in bridge.blocks:
        _send(block, next(block.parameters()).device)
    _send(bridge.ln_final, home)


def _send(module: Any, device: torch.device) -> None:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return _moved(args, device), {name: _moved(value, device) for name, value in kwargs.items()}

    module.register_forward_pre_hook(hook, with_kwargs=True)


def _moved(value: Any, device: torch.device) -> Any:
    """Tensors, and those in tuples; caches stay what they are.

    A mapping stays itself, with its tensors moved: Gemma 4's blocks put keys and values into one, for later blocks.
    """
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, MutableMapping):
        value.update({name: _moved(part, device) for name, part in value.items()})
        return value
    return tuple(_moved(part, device) for part in value) if type(value) is tuple else value


def at_home(hook: Hook, home: torch.device) -> Hook:
    """A hook that sees the activation at home, and whose result goes back to where that was."""
    on_activation = hook

    def hook_at_home(activation: torch.Tensor, hook: Any = None) -> torch.Tensor | None:
        result = on_activation(activation.to(home), hook)
        return None if result is None else result.to(activation.device)

    return hook_at_home
