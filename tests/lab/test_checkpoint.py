import json
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import edit_config, tiny_model
from workbench.errors import UserError
from workbench.lab.finding.checkpoint import check_architecture, read_checkpoint, read_header


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("llama", tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


def test_what_the_headers_say(folder: Path) -> None:
    import transformers

    found = read_checkpoint(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert found.n_parameters == sum(p.numel() for p in model.parameters())
    assert found.dtype == "float32"
    assert found.architecture == "LlamaForCausalLM"
    assert found.size == (folder / "model.safetensors").stat().st_size


def test_the_dtype_is_that_of_most_numbers(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    halved = {name: array if array.ndim == 1 else array.to(torch.bfloat16) for name, array in weights.items()}
    save_file(halved, folder / "model.safetensors", metadata={"format": "pt"})
    assert read_checkpoint(folder).dtype == "bfloat16"


def test_shards_and_a_missing_one(folder: Path) -> None:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    whole = read_checkpoint(folder).n_parameters
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    found = read_checkpoint(folder)
    assert found.weights == shards
    assert found.n_parameters == whole
    shards[1].unlink()
    with pytest.raises(UserError, match=f"lacks 1 of {len(shards)} weight files, among them {shards[1].name}"):
        read_checkpoint(folder)


def test_an_index_that_points_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    with pytest.raises(UserError, match="only safetensors files of the same folder"):
        read_checkpoint(folder)
    index.write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    with pytest.raises(UserError, match="only safetensors files of the same folder"):
        read_checkpoint(folder)


class Planted:
    """Opening this pickle leaves a file: the proof that nothing was opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickle_only_is_refused_unopened(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Planted(tmp_path / "opened")))
    with pytest.raises(UserError, match=r"pickle only .* reads safetensors.*save_pretrained"):
        read_checkpoint(folder)
    assert not (tmp_path / "opened").exists()


def test_folders_that_are_no_models(folder: Path, tmp_path: Path) -> None:
    def refused(sentence: str, at: Path = folder) -> None:
        with pytest.raises(UserError, match=sentence) as caught:
            read_checkpoint(at)
        assert "\n" not in str(caught.value)

    refused("does not exist", tmp_path / "nowhere")
    refused("is a file, not a folder", folder / "config.json")
    kept = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    refused("has no weights")
    (folder / "weights.safetensors").write_bytes(kept)
    refused("rename it")
    (folder / "weights.safetensors").unlink()
    (folder / "model.Q4.gguf").touch()
    refused("GGUF only")
    (folder / "model.safetensors").write_bytes(kept)
    read_checkpoint(folder)
    (folder / "tokenizer.json").unlink()
    refused("no tokenizer")
    (folder / "config.json").write_text("{")
    refused("not valid JSON")
    (folder / "config.json").write_text("[]")
    refused("not a JSON object")
    (folder / "config.json").unlink()
    refused("GGUF files only")
    (folder / "model.Q4.gguf").unlink()
    refused("no config.json")
    (folder / "adapter_config.json").touch()
    refused("adapter, not a whole model")


def test_quantised_weights_are_refused(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(UserError, match=r"quantised \(gptq\)"):
        read_checkpoint(folder)


def test_a_model_that_does_not_continue_text(folder: Path) -> None:
    edit_config(folder, architectures=["BertForSequenceClassification"])
    with pytest.raises(UserError, match="BertForSequenceClassification"):
        read_checkpoint(folder)


def test_truncated_and_damaged_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in (0, 5, 8, header - 1, header, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut short.*again"):
            read_header(file)
    file.write_bytes(whole + b"x")
    with pytest.raises(UserError, match="longer than its header says"):
        read_header(file)
    file.write_bytes(b"\x80\x02" + whole[2:])
    with pytest.raises(UserError, match=r"model.safetensors"):
        read_header(file)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda t: len(t.encode()).to_bytes(8, "little") + t.encode())
)
def test_any_bytes_give_a_sentence_or_counts(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.safetensors"
    file.write_bytes(content)
    try:
        read_header(file)
    except UserError:
        return
    assert content[8:].strip().startswith(b"{")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), inner)
        ),
        max_leaves=8,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_json_header_gives_a_sentence_or_counts(tmp_path_factory: pytest.TempPathFactory, entry: object) -> None:
    header = json.dumps({"a": entry}).encode()
    file = tmp_path_factory.getbasetemp() / "json.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError):
        read_header(file)


def test_remote_code_is_never_an_architecture(folder: Path, tmp_path: Path) -> None:
    from workbench.lab.finding.source import resolve

    (folder / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    auto_map = {"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "modeling_evil.M"}
    edit_config(folder, model_type="evil", auto_map=auto_map)
    with pytest.raises(UserError, match=r"brings its own Python code \(evil\), which the workbench never runs"):
        resolve(str(folder))
    # Where transformers has the architecture, the code beside the weights is simply not used.
    edit_config(folder, model_type="llama")
    assert resolve(str(folder)).path == folder
    assert not (tmp_path / "ran").exists()


def test_unknown_architectures() -> None:
    with pytest.raises(UserError, match="does not know the architecture 'llama9'"):
        check_architecture({"model_type": "llama9"}, "x")
    with pytest.raises(UserError, match="cannot make it continue text"):
        check_architecture({"model_type": "vit"}, "x")


@pytest.mark.parametrize("name", ["num_hidden_layers", "hidden_size", "vocab_size", "intermediate_size"])
def test_a_config_of_more_than_the_weights_hold_is_refused_before_anything_is_built(folder: Path, name: str) -> None:
    edit_config(folder, **{name: 10**9})
    with pytest.raises(UserError, match=f"says {name} 1,000,000,000, and the weights have"):
        read_checkpoint(folder)


def test_deep_json_is_a_sentence(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match="not valid JSON"):
        read_checkpoint(folder)
