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

    listed = []
    for finding in findings():
        listed.append(finding)
        if not as_json:
            _print(printer, finding)
            sys.stdout.flush()
    if as_json:
        print_json(listed)
    elif not any(finding.state != "ok" for finding in listed):
        printer.text("all is well", "dim")
    return FAILED if any(finding.state == "bad" for finding in listed) else DONE


def _print(printer: Printer, finding: Finding) -> None:
    from workbench.drawing.layout import paragraph, plain

    style = printer.style
    styles = {"ok": style.paint("good"), "warning": style.paint("edited", "bold"), "bad": style.paint("bad", "bold")}
    margin = 24
    lines = paragraph(finding.detail, printer.width - margin, style)
    if finding.cure:
        arrow = style.glyphs("→", "->")
        lines += paragraph(f"{arrow} {finding.cure}", printer.width - margin, style, "bold")
    for at, line in enumerate(lines):
        start = plain("")
        start.append(f"{finding.state if at == 0 else '':<8}", styles[finding.state])
        start.append(style.fit(style.clean_text(finding.name) if at == 0 else "", margin - 8))
        start.append_text(line)
        printer.lines([start])


def _check(printer: Printer, model: str, as_json: bool) -> int:
    """Equality on every device and dtype, each in a process of its own."""
    from workbench.cli.output import print_json
    from workbench.text import number

    results: list[Equality] = []
    for equality in _measure_all(model):
        results.append(equality)
        if as_json:
            continue
        if len(results) == 1:
            printer.text(f"{equality.model}: the largest difference of any logit, ours against plain PyTorch", "bold")
            printer.unbroken(
                _row("", "clean", "neuron set", "head scaled", "its floor", "the edit's own effect"), "dim"
            )
        name = f"{equality.device} {equality.dtype}"
        if equality.problem:
            printer.text(f"{name}: not measured: {equality.problem}", printer.style.paint("bad"))
        else:
            measured = (equality.clean, equality.neuron, equality.head, equality.floor, equality.effect)
            numbers = [number(value) for value in measured]
            verdict = "" if equality.fine else "  not equal"
            printer.unbroken(
                _row(name, *numbers) + verdict, "" if equality.fine else printer.style.paint("bad", "bold")
            )
        sys.stdout.flush()
    if results and results[-1].edits and not as_json:
        printer.text(
            f"edits: {', '.join(results[-1].edits)}, each alone · floor: plain PyTorch against itself in a batch of "
            "two; clean has to be 0 on the CPU and within twice the floor elsewhere",
            "dim",
        )
    if as_json:
        print_json([{**_json(equality), "fine": equality.fine} for equality in results])
    return DONE if results and all(equality.fine for equality in results) else FAILED


def _row(name: str, clean: str, neuron: str, head: str, floor: str, effect: str) -> str:
    return f"{name:<18}{clean:>9}{neuron:>12}{head:>13}{floor:>11}{effect:>23}"


def _json(equality: Equality) -> dict[str, object]:
    from workbench.views import to_builtins

    data: dict[str, object] = to_builtins(equality)
    return data


def _measure_all(model: str) -> Iterator[Equality]:
    import json

    import msgspec

    from workbench.doctor.equality import Equality
    from workbench.errors import UserError

    probe = subprocess.run(
        [sys.executable, "-m", "workbench.doctor.torch_probe"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        raise UserError(f"torch cannot be imported: {(probe.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    capabilities = json.loads(probe.stdout.splitlines()[-1])
    for device in capabilities["devices"]:
        for dtype in capabilities["dtypes"][device]:
            process = subprocess.run(
                [sys.executable, "-m", "workbench.doctor.equality", model, device, dtype],
                capture_output=True,
                text=True,
                check=False,
            )
            lines = process.stdout.splitlines()
            if process.returncode or not lines:
                reason = (process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
                raise UserError(f"checking {model} on {device} in {dtype} failed: {reason}")
            yield msgspec.json.decode(lines[-1], type=Equality)
