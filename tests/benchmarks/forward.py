"""What the workbench adds to a forward pass, warm and from nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.measure import Results, median
from workbench.worker.client import WorkerSpec, connect, run_step
from workbench.worker.protocol import Submit

TOKENS = 256
RUNS = 9
SEED = 0
PLAIN_SCRIPT = """
import sys, torch
from transformer_lens.model_bridge import TransformerBridge
bridge = TransformerBridge.boot_transformers(sys.argv[1], device="cpu", dtype=torch.float32)
ids = bridge.tokenizer("The capital of France is", return_tensors="pt", add_special_tokens=False).input_ids
logits = bridge.original_model(ids).logits
print(bridge.tokenizer.decode(logits[0, -1].argmax()))
"""


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    _in_process(results)
    asyncio.run(_warm(results, folder))
    _from_the_shell(results, env, folder)


def _prompts(lab: object, n: int) -> list[str]:
    """Texts of exactly TOKENS tokens, all different, so that no kept pass helps."""
    import random

    drawn = random.Random(SEED)
    words = [" time", " people", " water", " light", " house", " river", " stone", " music", " paper", " green"]
    texts = []
    while len(texts) < n:
        text = "The" + "".join(drawn.choice(words) for _ in range(TOKENS - 1))
        if len(lab.prompt(text)) == TOKENS:  # type: ignore[attr-defined]
            texts.append(text)
    return texts


def _in_process(results: Results) -> None:
    import torch

    from workbench.edits import SetTo
    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab

    lab = load_lab(resolve("default"))
    hf = lab.model.hf
    edits = [SetTo("L12.N345", 0.0), SetTo("L20.N7", 0.0)]
    times: dict[str, list[float]] = {"bare": [], "clean": [], "edited": []}
    for text in _prompts(lab, RUNS):
        prompt = lab.prompt(text)
        ids = torch.from_numpy(prompt.ids)[None]
        for name in times:
            start = time.perf_counter()
            if name == "bare":
                with torch.inference_mode():
                    hf(input_ids=ids, use_cache=False)
            else:
                lab.forward(prompt, edits if name == "edited" else (), logits="last")
            times[name].append(time.perf_counter() - start)
    for name, other, goal in (("edited", "clean", 1.10), ("clean", "bare", 1.10)):
        ratio = median([a / b for a, b in zip(times[name], times[other], strict=True)])
        results.add(
            f"{name} forward of {TOKENS} tokens, {RUNS} interleaved runs",
            f"≤ {goal:.2f} × {other}",
            f"{ratio:.2f} × ({median(times[name]):.3f} s against {median(times[other]):.3f} s)",
            ratio <= goal,
        )


async def _warm(results: Results, folder: Path) -> None:
    """`predict` through the worker against a bare forward here, in turn; neither runs while the other does."""
    import torch

    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab

    lab = load_lab(resolve("default"))
    hf = lab.model.hf
    client = await connect(WorkerSpec())
    ours, bare = [], []
    try:
        session = str(folder / "predict.db")
        await run_step(client, Submit(session=session, experiment="predict", params={"prompt": "warm"}))
        for text in _prompts(lab, RUNS):
            ids = torch.from_numpy(lab.prompt(text).ids)[None]
            start = time.perf_counter()
            with torch.inference_mode():
                hf(input_ids=ids, use_cache=False)
            bare.append(time.perf_counter() - start)
            start = time.perf_counter()
            await run_step(client, Submit(session=session, experiment="predict", params={"prompt": text}))
            ours.append(time.perf_counter() - start)
    finally:
        await client.close()
    ratio = median([a / b for a, b in zip(ours, bare, strict=True)])
    results.add(
        f"predict on a warm worker, {TOKENS} tokens, submitted to done",
        "≤ 1.15 × bare forward",
        f"{ratio:.2f} × ({median(ours):.3f} s against {median(bare):.3f} s)",
        ratio <= 1.15,
    )


def _from_the_shell(results: Results, env: dict[str, str], folder: Path) -> None:
    from workbench.lab.finding.source import resolve

    predict = [sys.executable, "-m", "workbench", "run", "predict", "--prompt", "The capital of France is"]
    environment = {**os.environ, **env}

    def timed(command: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - start

    timed(predict)
    warm = [timed(predict) for _ in range(5)]
    results.add("predict from the shell, warm worker, in all", "< 1 s", f"{median(warm):.2f} s", median(warm) < 1)
    script = folder / "plain.py"
    script.write_text(PLAIN_SCRIPT)
    plain = [sys.executable, str(script), str(resolve("default").path)]
    ours, theirs = [], []
    for _ in range(3):
        subprocess.run([sys.executable, "-m", "workbench", "stop", "--all"], env=environment, capture_output=True)
        ours.append(timed(predict))
        subprocess.run([sys.executable, "-m", "workbench", "stop", "--all"], env=environment, capture_output=True)
        theirs.append(timed(plain))
    ratio = median([a / b for a, b in zip(ours, theirs, strict=True)])
    results.add(
        "predict from the shell from nothing (no worker), 3 interleaved runs",
        "≤ 1.2 × a plain script that imports transformer_lens and boots the same model",
        f"{ratio:.2f} × ({median(ours):.1f} s against {median(theirs):.1f} s)",
        ratio <= 1.2,
    )
