"""SAELens as an oracle: random SAEs of every kind, saved by it, and what it makes of a few inputs.

    python -m tests.oracle.saelens FOLDER      makes the environment in FOLDER where it is not, and records

SAELens holds transformer_lens below 4, so it gets an environment of its own (2 GB, from PyPI; minutes). What is
recorded lies in `tests/lab/sae/recorded/`, small enough to keep; tests read it and need no SAELens. Weights and inputs
are the same each time: what it records again differs by float32's rounding alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = ("sae-lens==6.54.12", "transformer-lens==3.9.0", "torch<2.14", "numpy<2.5")
RECORDED = Path(__file__).parents[1] / "lab" / "sae" / "recorded"
D_IN, D_SAE, D_OUT, K, ROWS, SCALE = 12, 30, 10, 5, 6, 0.37
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in")


def environment(folder: Path) -> Path:
    """The interpreter of an environment that has SAELens; made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return python


def main() -> None:
    python = environment(Path(sys.argv[1]).expanduser())
    subprocess.run([python, __file__, "--record"], check=True)


# --- what runs in the environment ---------------------------------------------------------------------


def record() -> None:
    import numpy as np
    import torch
    from safetensors.torch import load_file

    generator = torch.Generator().manual_seed(0)

    def randomise(sae) -> None:
        """Every parameter from the generator: norms of the decoder differ, thresholds are positive."""
        with torch.no_grad():
            for name, parameter in sorted(sae.named_parameters()):
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise.abs() if name == "threshold" else 0.4 * noise)
            if hasattr(sae, "topk_threshold"):
                sae.topk_threshold = torch.tensor(0.6, dtype=torch.double)

    arrays: dict[str, np.ndarray] = {}
    configs: dict[str, dict] = {}

    def keep(case: str, folder: Path, x: torch.Tensor, activations: torch.Tensor, out: torch.Tensor) -> None:
        configs[case] = json.loads((folder / "cfg.json").read_text())
        for name, tensor in load_file(folder / "sae_weights.safetensors").items():
            arrays[f"{case}|{name}"] = tensor.numpy()
        for name, tensor in {"x": x, "activations": activations, "out": out}.items():
            arrays[f"{case}|={name}"] = tensor.detach().numpy()

    def answers(sae, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            activations = sae.encode(x)
            sae.encode(x)  # its normalisations forget their numbers once decoded
            return activations, sae(x)

    def inputs(*shape: int) -> torch.Tensor:
        return 2 * torch.randn(*shape, generator=generator) + 0.5

    from sae_lens import SAE
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.matryoshka_batchtopk_sae import (
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig,
    )

    def case(name: str, x: torch.Tensor, **config) -> None:
        base = {
            "d_in": D_IN,
            "d_sae": D_SAE,
            "metadata": {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_pre"},
        }
        sae = SAE.from_dict({**base, **config})
        randomise(sae)
        with tempfile.TemporaryDirectory() as folder:
            sae.save_model(folder)
            keep(name, Path(folder), x, *answers(sae, x))
            if name.endswith("expected_average_only_in"):  # the same with its scale folded in
                sae.fold_activation_norm_scaling_factor(SCALE)
                keep(f"{name}-scaled", Path(folder), x, *answers(sae, x))

    for kind in ("standard", "gated", "jumprelu", "topk", "topk-rescaled"):
        for normalisation in NORMALISATIONS:
            more = {"k": K} if kind.startswith("topk") else {}
            if kind == "topk-rescaled":
                if normalisation == "expected_average_only_in":
                    continue  # SAELens' own fold leaves the choice of features to other norms
                more["rescale_acts_by_decoder_norm"] = True
            architecture = kind.partition("-")[0]
            case(f"{kind}-{normalisation}", inputs(ROWS, D_IN), architecture=architecture,
                 normalize_activations=normalisation, **more)  # fmt: skip
        if kind != "topk-rescaled":
            more = {"k": K} if kind == "topk" else {}
            case(f"{kind}-b_dec-stays", inputs(ROWS, D_IN), architecture=kind, apply_b_dec_to_input=False, **more)
    heads = {"model_name": "tiny", "hook_name": "blocks.1.attn.hook_z"}
    case("standard-heads", inputs(2, ROWS, 4, D_IN // 4), architecture="standard", reshape_activations="hook_z",
         metadata=heads)  # fmt: skip
    for architecture in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"):
        for normalisation in ("none", "layer_norm"):
            case(f"{architecture}-{normalisation}", inputs(ROWS, D_IN), architecture=architecture, d_out=D_OUT,
                 apply_b_dec_to_input=False, normalize_activations=normalisation,
                 metadata={"hook_name": "blocks.1.hook_mlp_in", "hook_name_out": "blocks.1.hook_mlp_out"})  # fmt: skip
    trainings = {
        "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {}),
        "matryoshka": (
            MatryoshkaBatchTopKTrainingSAE,
            MatryoshkaBatchTopKTrainingSAEConfig,
            {"matryoshka_widths": [10, D_SAE]},
        ),
    }
    for name, (made, config, more) in trainings.items():
        for rescaled in (False, True):
            training = made(config(d_in=D_IN, d_sae=D_SAE, k=K, rescale_acts_by_decoder_norm=rescaled, **more))
            randomise(training)
            label = f"{name}-rescaled" if rescaled else name
            with tempfile.TemporaryDirectory() as saved, tempfile.TemporaryDirectory() as inference:
                training.save_model(saved)
                training.save_inference_model(inference)
                x = inputs(ROWS, D_IN)
                expected = answers(SAE.load_from_disk(inference), x)
                keep(f"{label}-inference", Path(inference), x, *expected)
                keep(f"{label}-training", Path(saved), x, *expected)
    generations(case_of=keep, answers=answers, inputs=inputs, randomise=randomise)
    RECORDED.mkdir(exist_ok=True)
    np.savez_compressed(RECORDED / "answers.npz", **arrays)
    (RECORDED / "configs.json").write_text(json.dumps(configs, indent=1, sort_keys=True) + "\n")
    print(f"{len(configs)} cases in {RECORDED}")


def generations(case_of, answers, inputs, randomise) -> None:
    """Configurations as SAELens 2 to 5 wrote them, read by the newest."""
    import torch  # noqa: F401
    from sae_lens import SAE

    common = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "torch.float32", "device": "cpu", "model_name": "gpt2-small"}
    version_2 = common | {
        "hook_point": "blocks.1.hook_resid_pre", "hook_point_layer": 1, "hook_point_head_index": None,
        "prepend_bos": True, "context_size": 128, "normalize_activations": False, "dtype": "float32",
        "expansion_factor": 2.5, "l1_coefficient": 0.001, "apply_b_dec_to_input": True,
    }  # fmt: skip
    version_3 = common | {
        "architecture": "gated", "activation_fn_str": "relu", "apply_b_dec_to_input": True, "dtype": "float32",
        "finetuning_scaling_factor": False, "hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1,
        "hook_head_index": None, "prepend_bos": True, "dataset_path": "text", "context_size": 128,
        "dataset_trust_remote_code": True, "normalize_activations": "none", "sae_lens_training_version": "3.22.2",
        "activation_fn_kwargs": {}, "neuronpedia_id": None,
        "model_from_pretrained_kwargs": {"center_writing_weights": True},
    }  # fmt: skip
    version_5 = version_3 | {
        "architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K},
        "sae_lens_training_version": "5.11.0", "seqpos_slice": [None], "normalize_activations": "layer_norm",
    }  # fmt: skip
    kinds = {"version-2": ("standard", version_2, {}), "version-3": ("gated", version_3, {}),
             "version-5": ("topk", version_5, {"k": K, "normalize_activations": "layer_norm"})}  # fmt: skip
    for name, (architecture, config, more) in kinds.items():
        sae = SAE.from_dict({"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, **more})
        randomise(sae)
        with tempfile.TemporaryDirectory() as folder:
            sae.save_model(folder)
            (Path(folder) / "cfg.json").write_text(json.dumps(config))
            x = inputs(ROWS, D_IN)
            case_of(name, Path(folder), x, *answers(SAE.load_from_disk(folder), x))


if __name__ == "__main__":
    record() if "--record" in sys.argv else main()
