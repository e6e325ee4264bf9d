"""README and CHANGELOG fall behind only by failing here."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import USER_CACHE
from workbench.cli import main
from workbench.datasets.instructions import shipped_set
from workbench.experiments import experiments
from workbench.session.reader import SessionReader
from workbench.text import number
from workbench.units import SITES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def fenced(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


def test_ci_runs_both_commands_of_the_readme():
    install, test = (block.strip() for block in fenced("sh"))
    for command in (install, test):
        assert command in (ROOT / ".ci/run").read_text().splitlines()
    assert install.endswith("workbench")


def test_every_command_and_experiment_is_described():
    for command in main.list_commands(None):
        assert re.search(rf"`(workbench )?{command}\b", README), command
    for name in experiments():
        assert f"`{name}`" in README, name


def test_every_site_is_named():
    for site in SITES:
        assert f"`{site}`" in README or site in README, site


def test_what_it_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_scripts_and_sessions_that_it_names_are_there():
    """In the repository: what git ignores is not."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = (
        listed.stdout.split() if listed.returncode == 0 else [str(file.relative_to(ROOT)) for file in ROOT.rglob("*")]
    )
    for path in re.findall(r"`(?:bash )?((?:sessions|tests|\.github)/[\w./-]+)", README):
        folder = path.rstrip("/") + "/"
        assert any(f"{file}/".startswith(folder) for file in files), path


def commands_and_lines() -> list[tuple[str, list[str]]]:
    """Commands of the console blocks with the lines that have to show."""
    commands: list[tuple[str, list[str]]] = []
    for block in fenced("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif line.strip():
                commands[-1][1].append(line)
    return commands


BARS = set("▁▂▃▄▅▆▇█")


def shows(output: list[str], expected: str) -> bool:
    """Whether a line of the output is this one; `…` at its end stands for anything.

    Two cells of a drawn bar may differ: the last bits of a projection, and so a bar's height, depend on the CPU.
    """
    expected = expected.rstrip()
    if expected.endswith("…"):
        return any(line.startswith(expected[:-1].rstrip()) for line in output)
    if BARS.isdisjoint(expected):
        return expected in [line.rstrip() for line in output]
    return any(len(line.rstrip()) == len(expected) and sum(map(str.__ne__, line, expected)) <= 2 for line in output)


@pytest.mark.slow
def test_readmes_commands_print_what_it_says(own_folders, monkeypatch):
    """All in one folder with one worker, as a reader would; a checkout's sessions beside it."""
    folder = own_folders / "reader"
    (folder / "sessions").mkdir(parents=True)
    for name in ("tour", "saes"):
        shutil.copy(ROOT / "sessions" / f"{name}.db", folder / "sessions")
    env = {**os.environ, "WORKBENCH_CACHE": str(USER_CACHE), "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
    workbench = [sys.executable, "-m", "workbench"]
    try:
        for command, lines in commands_and_lines():
            words = shlex.split(command)
            assert words[0] == "workbench", command
            done = subprocess.run(
                [*workbench, *words[1:]],
                cwd=folder, env=env, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}: {done.stderr}"
            output = done.stdout.splitlines()
            for line in lines:
                assert shows(output, line), f"{command} does not print {line!r} but:\n{done.stdout}"
    finally:
        subprocess.run([*workbench, "stop", "--all"], env=env, capture_output=True, timeout=60)


def test_the_recorded_refusal_is_what_the_readme_says():
    with SessionReader(ROOT / "sessions" / "refusal.db") as reader:
        steps = [reader.step(row.id) for row in reader.rows(0, None)]
    assert {step.model.ref for step in steps} == {"refusing-copy", "stops-refusing"}, "no folder of the machine"
    assert {step.status for step in steps} == {"done"}
    whole, before, search, test, arms, exported, after = (step.headline for step in steps)
    for headline, stated in (
        (whole, ("4.76 → −2.37", "AUC .998", "words alone .632")),
        (before, ("248 of 260 harmful", "26 of 260 harmless")),
        (search, ("2 of 180 candidates",)),
        (test, ("KL .191", ".0732", "5.38")),
        (arms, ("53 of 64 → 2 of 64", "→ 14 of 64", "7 of 64 → 47 of 64", ".281 to .938")),
        (exported, ("3.3e-5",)),
        (after, ("31 of 260 harmful", "14 of 260 harmless")),
    ):
        for words in stated:
            assert words in headline, words
    for figure in (
        "4.76 to −2.37",
        ".998",
        ".632",
        "53 of 64",
        "2 of 64",
        "14 of 64",
        "47 of 64",
        "3.3e-5",
        ".281 to .938",
    ):
        assert figure in README, figure


def test_the_recorded_direction_is_what_the_readme_says():
    with SessionReader(ROOT / "sessions" / "joy.db") as reader:
        steps = [reader.step(row.id) for row in reader.rows(0, None)]
    assert {step.model.ref for step in steps} == {"default"}, "no folder of the machine that it was recorded on"
    asked = {name: [row.prompt for row in shipped_set(name)] for name in ("joyful", "sad", "neutral")}
    made_of = [[row["prompt"] for row in steps[0].params[side]] for side in ("positive", "negative")]
    assert [*made_of, [row["prompt"] for row in steps[1].params["prompts"]]] == list(asked.values())
    assert steps[1].params["matches"] in README
    headline = steps[1].headline
    for figure in (".175", ".5 (", "1.39", "median .05", ".352", ".648", "1.11"):
        assert figure in headline, figure
        assert figure in README, figure


def test_the_table_of_saes_is_what_the_studies_found():
    with SessionReader(ROOT / "sessions" / "saes.db") as reader:
        steps = [reader.step(row.id) for row in reader.rows(0, None) if row.experiment == "sae-errors"]
    for step in steps:
        layer, width = step.params["sae"].split("-")
        found = step.scalars
        cells = [
            f"{layer}.resid_post, {int(width):,}",
            number(found["explained_variance"]),
            number(found["recovered_zero"]),
        ]
        cells += [f"{number(100 * found['dead'])} %", number(found["kl_sae"])]
        for arm in ("eps", "eps_sigma", "eps_pair", "eps_other"):
            ratio, se = found[f"ratio_{arm}"], found[f"ratio_{arm}_se"]
            cells.append(f"{number(ratio)} ({number(ratio - 1.96 * se)}–{number(ratio + 1.96 * se)})")
        assert f"| {' | '.join(cells)} |" in README, step.params["sae"]
    assert len(re.findall(r"^\| L\d+\.resid_post, ", README, flags=re.MULTILINE)) == len(steps)


def test_the_table_of_the_battery_is_what_it_found():
    with (ROOT / "sessions" / "battery.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    for row in rows:
        one, low, high = (number(float(row[key])) for key in ("neuron MCC", "neuron ≥", "neuron ≤"))
        k = f"{row['layer']}, k {row['k']}: {number(float(row['MCC of k']))}"
        tokens = number(float(row["tokens alone"]))
        assert f"| `{row['set']}` | {row['best neuron']} | {one} ({low}–{high}) | {k} | {tokens} |" in README, row[
            "set"
        ]
    assert {row["monosemantic"] for row in rows} == {"no"}
    assert sum(float(row["neuron MCC"]) >= 0.9 for row in rows) == 7
    assert (
        sum(float(row["neuron ≥"]) > float(row["tokens alone"]) for row in rows if float(row["neuron MCC"]) >= 0.9) == 2
    )
    assert max(float(row["ratio"]) for row in rows) == pytest.approx(263, abs=0.5)


def test_the_recorded_probes_are_a_battery_of_texts_that_may_be_passed_on():
    with SessionReader(ROOT / "sessions" / "probing.db") as reader:
        steps = [reader.step(row.id) for row in reader.rows(0, None)]
    assert {step.model.ref for step in steps} == {"default"}
    assert {step.status for step in steps} == {"done"}
    whole = steps[0]
    assert whole.experiment == "battery"
    notes = {labelled["name"]: labelled["note"] for labelled in whole.params["data"]}
    assert set(notes) == {"social_security", "french", "digits", "is_python", "past", "months", "plural", "capitals"}
    assert not any("/" in note for note in notes.values()), "no folder of the machine that it was recorded on"
    own = [step for step in steps if step.parent is None]
    assert [step.experiment for step in own] == ["battery", "dense-probe", "probe-apply"]
    for step in own[1:]:
        assert step.headline in " ".join(README.split()), step.headline
