"""A model over several GPUs: which are taken, and which layers go where. `tests/pretend` computes on two devices."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

from tests.lab.labs import source_of, tiny_folder, tiny_lab
from workbench.errors import UserError
from workbench.lab import device as devices
from workbench.lab import memory
from workbench.lab.device import pick_devices
from workbench.lab.finding.checkpoint import Checkpoint
from workbench.lab.finding.placement import Placement, place
from workbench.lab.memory import Holder, check_spread, estimate
from workbench.lab.spread import device_map
from workbench.model_info import LayersOn
from workbench.worker.engine import LabEngine

LLAMA_70B = Checkpoint(
    folder=Path("Llama-70B"),
    config={
        "vocab_size": 128_256,
        "hidden_size": 8192,
        "intermediate_size": 28_672,
        "num_attention_heads": 64,
        "num_hidden_layers": 80,
        "tie_word_embeddings": False,
    },
    weights=[],
    n_parameters=70_553_706_496,
    dtype="bfloat16",
    size=141_107_412_992,
)
GIB = 1 << 30


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes that are free on each GPU, which compute as the CPU does; `auto` takes them in this order."""
    free: dict[str, int] = {}
    monkeypatch.setattr(memory, "free_memory", lambda name: free.get(name, 10 * GIB))
    monkeypatch.setattr(memory, "holders", lambda name: [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (free[name], 80 * GIB))
    monkeypatch.setattr(devices, "_compute_problem", lambda *_: None)
    return free


def layers(spread: tuple[LayersOn, ...]) -> list[int]:
    return [run.last - run.first + 1 for run in spread]


def test_layers_go_where_there_is_room(free: dict[str, int]) -> None:
    free.update({"cuda:0": 90 * GIB, "cuda:1": 90 * GIB})
    need, spread = check_spread(LLAMA_70B, ["cuda:0", "cuda:1"], "bfloat16")
    assert need.weights == 141_107_412_992
    assert [run.device for run in spread] == ["cuda:0", "cuda:1"]
    assert (spread[0].first, spread[0].last + 1, spread[1].last) == (0, spread[1].first, 79)
    # The first has the embedding and the head, 4.2 GB, and so fewer layers.
    assert sum(layers(spread)) == 80
    assert 0 < layers(spread)[1] - layers(spread)[0] <= 4
    free["cuda:1"] = 140 * GIB
    _, spread = check_spread(LLAMA_70B, ["cuda:0", "cuda:1"], "bfloat16")
    assert layers(spread)[0] < layers(spread)[1]


@pytest.mark.parametrize("sizes", [(72, 72), (60, 86), (30, 50, 70), (20, 20, 20, 110)])
def test_no_device_gets_more_than_fits_beside_room_to_work_in(free: dict[str, int], sizes: tuple[int, ...]) -> None:
    names = [f"cuda:{index}" for index in range(len(sizes))]
    free.update({name: size * GIB for name, size in zip(names, sizes, strict=True)})
    working = estimate(LLAMA_70B, "cuda:0", "bfloat16").working
    embeddings = 2 * 128_256 * 8192 * 2
    layer = (141_107_412_992 - embeddings) / 80
    try:
        _, spread = check_spread(LLAMA_70B, names, "bfloat16")
    except UserError:
        rooms = [free[name] - working - (0 if index else embeddings) for index, name in enumerate(names)]
        assert sum(max(0, room) // layer for room in rooms) < 80
        return
    assert [run.first for run in spread] == [0, *(run.last + 1 for run in spread[:-1])]
    assert spread[-1].last == 79
    for run in spread:
        held = (run.last - run.first + 1) * layer + working + (embeddings if run.device == "cuda:0" else 0)
        assert held <= free[run.device]


def test_too_large_for_all_of_them(free: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    free.update({"cuda:0": 60 * GIB, "cuda:1": 60 * GIB})
    held = {"cuda:0": [Holder(pid=7, name="train", memory=20 * GIB)], "cuda:1": []}
    monkeypatch.setattr(memory, "holders", held.__getitem__)
    with pytest.raises(
        UserError, match=r"Llama-70B needs .* of the memory of cuda:0, cuda:1 in bf.*120 GiB are free.*train \(pid 7"
    ):
        check_spread(LLAMA_70B, ["cuda:0", "cuda:1"], "bfloat16")


def test_auto_spreads_what_one_gpu_cannot_hold(free: dict[str, int]) -> None:
    source = source_of(tiny_folder("llama"))
    free.update({"cuda:0": 10 * GIB, "cuda:1": 20 * GIB})
    assert (place(source).device, place(source).spread) == ("cuda:1", ())
    # Room to work in, and for two thirds of the weights.
    needed = estimate(place(source).checkpoint, "cuda:0", "float32")
    free.update({"cuda:0": needed.working + needed.weights // 2, "cuda:1": needed.working + needed.weights * 2 // 3})
    placement = place(source)
    assert placement.device == "cuda:1"
    assert [run.device for run in placement.spread] == ["cuda:1", "cuda:0"]
    assert placement.need.weights == needed.weights
    with pytest.raises(UserError, match="needs .* of the memory of cuda:0 in"):
        place(source, "cuda:0")
    free.update({"cuda:0": 10 * GIB, "cuda:1": 10 * GIB})
    assert [run.device for run in place(source, "cuda:0,cuda:1").spread] == ["cuda:0", "cuda:1"]


def test_several_devices_are_different_gpus(free: dict[str, int]) -> None:
    free.update({"cuda:0": GIB, "cuda:1": GIB})
    assert pick_devices("cuda:1,cuda:0") == ["cuda:1", "cuda:0"]
    assert pick_devices("cpu") == ["cpu"]
    for wrong in ("cuda:0,cuda:0", "cuda:0,cpu", "auto,cuda:0"):
        with pytest.raises(UserError, match="several devices are different GPUs, as cuda:0,cuda:1"):
            pick_devices(wrong)
    with pytest.raises(UserError, match="there is no cuda:2: --device takes auto, cuda:0, cuda:1, cpu"):
        pick_devices("cuda:0,cuda:2")


@pytest.mark.parametrize(
    ("arch", "inside", "outside"),
    [
        ("llama", "model.layers.", {"model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"}),
        (
            "gpt2",
            "transformer.h.",
            {"transformer.wte", "transformer.wpe", "transformer.drop", "transformer.ln_f", "lm_head"},
        ),
    ],
)
def test_what_is_in_no_layer_is_on_the_first(arch: str, inside: str, outside: set[str]) -> None:
    folder = tiny_folder(arch)
    placement = place(source_of(folder), "cpu")
    assert device_map(folder, placement) is None
    spread = (LayersOn("cuda:1", 0, 0), LayersOn("cuda:0", 1, 2))
    on_gpus = Placement(
        device="cuda:1", spread=spread, dtype="float32", need=placement.need, checkpoint=placement.checkpoint
    )
    assert device_map(folder, on_gpus) == {
        **dict.fromkeys(outside, "cuda:1"),
        f"{inside}0": "cuda:1",
        f"{inside}1": "cuda:0",
        f"{inside}2": "cuda:0",
    }


def test_the_worker_says_which_layers_lie_where(monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    info = tiny_lab("llama").info
    assert (info.place, info.devices) == ("cpu", ("cpu",))
    spread = (LayersOn("cuda:1", 0, 0), LayersOn("cuda:0", 1, 2))
    info = msgspec.structs.replace(info, device="cuda:1", spread=spread)
    assert info.place == "cuda:1 (layer 0), cuda:0 (layers 1–2)"
    assert info.devices == ("cuda:1", "cuda:0")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(info), type=type(info)) == info
    monkeypatch.setattr(torch.cuda, "memory_reserved", {"cuda:1": 10, "cuda:0": 5}.__getitem__)
    assert LabEngine(types.SimpleNamespace(info=info)).memory() == 15
