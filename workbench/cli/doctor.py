"""`workbench doctor`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from workbench.cli.failing import DONE, FAILED
from workbench.cli.options import from_group, json_option

if TYPE_CHECKING:
    from workbench.cli.output import Printer
    from workbench.doctor.equality import Equality
    from workbench.doctor.finding import Finding


@click.command("doctor")
@click.option("--check", is_flag=True, help="Load the model on every device and dtype there is, and compare numbers.")
@click.option("--model", metavar="REF", help="The model to check; else the settings'.")
@json_option
def doctor_command(check: bool, model: str | None, as_json: bool) -> int:
    """Look at this machine, and say what would make it work better.

    `--check` measures, for every device and dtype found, that a clean pass is the Hugging Face model's own, and that
    our edits are what plain PyTorch hooks give: the largest differences of any logit.
    """
    from workbench.cli.output import Printer, print_json
    from workbench.settings import load

    settings = load()
    printer = Printer(theme=settings.theme)
    if check:
        return _check(printer, from_group("model", model) or settings.model, as_json)
    from workbench.doctor import findings

    found = []
    for finding in findings():
        found.append(finding)
        if not as_json:
            _print(printer, finding)
            sys.stdout.flush()
    if as_json:
        print_json(found)
    elif not any(one.state != "ok" for one in found):
        printer.text("all is well", "dim")
    return FAILED if any(one.state == "bad" for one in found) else DONE


def _print(printer: Printer, finding: Finding) -> None:
    from workbench.drawing.layout import paragraph, plain

    style = printer.style
    look = {"ok": style.paint("good"), "look": style.paint("edited", "bold"), "bad": style.paint("bad", "bold")}
    margin = 22
    told = paragraph(finding.found, printer.width - margin, style)
    if finding.cure:
        arrow = style.glyphs("→", "->")
        told += paragraph(f"{arrow} {finding.cure}", printer.width - margin, style, "bold")
    for at, line in enumerate(told):
        start = plain("")
        start.append(f"{finding.state if at == 0 else '':<6}", look[finding.state])
        start.append(style.fit(style.clean_text(finding.name) if at == 0 else "", margin - 6))
        start.append_text(line)
        printer.lines([start])


def _check(printer: Printer, model: str, as_json: bool) -> int:
    """Equality on every device and dtype, each in a process of its own."""
    from workbench.cli.output import print_json
    from workbench.text import number

    results: list[Equality] = []
    for found in _measured(model):
        results.append(found)
        if as_json:
            continue
        if len(results) == 1:
            printer.text(f"{found.model}: the largest difference of any logit, ours against plain PyTorch", "bold")
            printer.word(_row("", "clean", "neuron set", "head scaled", "the edit's own effect"), "dim")
        name = f"{found.device} {found.dtype}"
        if found.problem:
            printer.text(f"{name}: not measured: {found.problem}", printer.style.paint("bad"))
        else:
            numbers = [number(value) for value in (found.clean, found.neuron, found.head, found.effect)]
            verdict = "" if found.fine else "  not equal"
            printer.word(_row(name, *numbers) + verdict, "" if found.fine else printer.style.paint("bad", "bold"))
        sys.stdout.flush()
    if results and results[-1].edits and not as_json:
        printer.text(f"edits: {', '.join(results[-1].edits)}, each alone", "dim")
    if as_json:
        print_json([{**_plain(found), "fine": found.fine} for found in results])
    return DONE if results and all(found.fine for found in results) else FAILED


def _row(name: str, clean: str, neuron: str, head: str, effect: str) -> str:
    return f"{name:<18}{clean:>9}{neuron:>13}{head:>13}{effect:>24}"


def _plain(found: Equality) -> dict[str, object]:
    from workbench.views import to_builtins

    data: dict[str, object] = to_builtins(found)
    return data


def _measured(model: str) -> Iterator[Equality]:
    import json

    import msgspec

    from workbench.doctor.equality import Equality
    from workbench.errors import UserError

    told = subprocess.run(
        [sys.executable, "-m", "workbench.doctor.torch_probe"], capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise UserError(f"torch cannot be imported: {(told.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    there = json.loads(told.stdout.splitlines()[-1])
    for device in there["devices"]:
        for dtype in there["dtypes"][device]:
            ran = subprocess.run(
                [sys.executable, "-m", "workbench.doctor.equality", model, device, dtype],
                capture_output=True,
                text=True,
                check=False,
            )
            lines = ran.stdout.splitlines()
            if ran.returncode or not lines:
                reason = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
                raise UserError(f"checking {model} on {device} in {dtype} failed: {reason}")
            yield msgspec.json.decode(lines[-1], type=Equality)
