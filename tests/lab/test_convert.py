import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import wait_until
from tests.lab.made_gguf import make_gguf
from tests.tiny import CHAT_TEMPLATE
from workbench.errors import UserError
from workbench.lab.finding import convert as module
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.convert import convert, remove_unfinished
from workbench.lab.progress import silent


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    make_gguf(folder / "tiny.gguf", folder / "hf")
    return folder / "tiny.gguf"


def test_the_weights_are_those_that_transformers_reads(gguf: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    seen: list[tuple[str, float | None]] = []
    convert(gguf, tmp_path / "made", {"a": "b"}, lambda stage, _d, fraction, _l: seen.append((stage, fraction)))
    ours = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "made").eval()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name).eval()
    wanted, found = theirs.state_dict(), ours.state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], wanted[name].float()) for name in wanted)
    ids = torch.tensor([[5, 9, 300, 17]])
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)
    assert ours.lm_head.weight.data_ptr() == ours.model.embed_tokens.weight.data_ptr()
    assert seen[0] == ("converting", 0)
    assert ("converting", 1) in seen
    assert read_checkpoint(tmp_path / "made").dtype == "float32"


def test_the_weights_are_near_those_before_quantising(gguf: Path, tmp_path: Path) -> None:
    # transformers and we could share a mistake in the order of the rotary dimensions: this would see it.
    import torch
    import transformers

    convert(gguf, tmp_path / "made", {}, silent)
    ours = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "made").state_dict()
    original = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent / "hf").state_dict()
    for name, tensor in original.items():
        off = (ours[name] - tensor).norm() / tensor.norm()
        assert off < 0.12, name
        assert torch.equal(ours[name], tensor) == (tensor.ndim == 1)


def test_the_tokenizer(gguf: Path, tmp_path: Path) -> None:
    import transformers

    convert(gguf, tmp_path / "made", {}, silent)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "made")
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer.convert_ids_to_tokens(tokenizer("The capital of France is").input_ids) == [
        "The",
        "Ġcapital",
        "Ġof",
        "ĠFrance",
        "Ġis",
    ]
    # Digits stand alone, and so do the spaces before them.
    assert tokenizer.convert_ids_to_tokens(tokenizer("a    22").input_ids)[-2:] == ["2", "2"]
    assert "Ġ2" not in tokenizer.convert_ids_to_tokens(tokenizer(" 2").input_ids)
    assert tokenizer("<|im_end|>").input_ids == [2]
    for text in ("  two  spaces\n\n\ttab", "héllo 日本語 😀", "don't"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.parametrize("point", ["_weights", "_write_tokenizer"])
def test_a_failure_leaves_nothing(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, point, fail)
    with pytest.raises(OSError, match="No space left"):
        convert(gguf, tmp_path / "made", {}, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_conversion_leaves_nothing_that_looks_finished(gguf: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom workbench.lab.finding import convert as module\n"
        "module._write_tokenizer = lambda *_: time.sleep(60)\n"
        "module.convert(Path(sys.argv[1]), Path(sys.argv[2]), {}, lambda *_: None)\n"
    )
    target = tmp_path / "made"
    process = subprocess.Popen([sys.executable, "-c", script, str(gguf), str(target)])
    try:
        wait_until(lambda: list(tmp_path.glob(".making-made-*/config.json")), 30, "the half-made folder")
        assert not target.exists()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert [file.name for file in tmp_path.iterdir()] == [f".making-made-{process.pid}"]
    assert not target.exists()
    remove_unfinished(target)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_met_before_the_work(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 10**18)
    with pytest.raises(UserError, match="set WORKBENCH_CACHE to a folder on another disk"):
        convert(gguf, tmp_path / "made", {}, silent)
    assert list(tmp_path.iterdir()) == []


def test_halves_undo_pairs() -> None:
    # Rows 0..5 of one head of 6: pairs (0, 1), (2, 3), (4, 5) become first members, then second members.
    weight = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert module._halves(weight, 1)[:, 0].tolist() == [0, 4, 8, 2, 6, 10]
