"""Write the edited model as a Hugging Face folder that plain transformers loads.

A direction is projected out of all weights that write into the stream: token and position embeddings, outputs and
biases of attention and MLPs (weight orthogonalisation, Arditi et al. 2024); not of the unembedding, which gets a tensor
of its own where it was tied, and not of norms. Neurons and heads that are set to 0 or scaled are rows of W_out and W_O.
What was written is loaded again, and its logits are compared with those of the edited model: they are equal to rounding
where no norm stands between attention or MLP and the stream; where one does (Gemma 2 and 3, OLMo 2), the direction is
gone too, but the norm rescales the rest, and the difference is reported. The folder is there whole or not at all, in
the number type in which the model is open.
"""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from workbench.directions.names import model_direction
from workbench.edits import SetTo, resolve_edit
from workbench.experiment import Experiment, command_line
from workbench.params import DirectionText, NewFolder
from workbench.params import Params as BaseParams
from workbench.report import Report
from workbench.shell import shell_line
from workbench.text import count, number, size
from workbench.units import direction_name
from workbench.views import Column, Scalar, Scalars, Table, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.edits import ParsedEdit
    from workbench.lab import Lab
    from workbench.lab.exporting.changes import ChangedTensors
    from workbench.lab.exporting.verify import Difference, Expected

EQUAL = 1e-3
"""standard deviations of the logits: beyond it, and beyond rounding, the copy is said to differ"""
ROUNDINGS = 10
"""times the KL of rounding alone that count as rounding: it differs so much from text to text"""


class Params(BaseParams, kw_only=True, frozen=True):
    direction: Annotated[
        DirectionText,
        Meta(
            description="a direction to project out of every weight that writes into the stream; the edits that are on "
            "are written too",
            extra={"example": "@refusal"},
        ),
    ] = ""
    folder: Annotated[
        NewFolder, Meta(description="the folder to write, which must not be there yet", extra={"example": "my-copy"})
    ] = ""


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.artifacts.model import check_new_folder, content_of, write_model
    from workbench.lab.exporting.changes import ChangedTensors
    from workbench.lab.exporting.folder import check_room, write_config, write_weights
    from workbench.lab.exporting.verify import compare, expected
    from workbench.lab.exporting.weight_edits import weight_edits
    from workbench.lab.identify import identify

    folder = check_new_folder(params.folder)
    stack = _stack(lab, params)
    edits = weight_edits(lab, stack)
    tensors = ChangedTensors(lab.model, edits)
    check_room(folder, tensors.bytes)
    expectation = expected(lab, stack, report)
    identify(lab, report)
    fingerprint = lab.info.fingerprint
    found: list[tuple[Difference, str]] = []

    def write(building: Path) -> None:
        write_weights(building, tensors.by_name, tensors.change, report)
        write_config(building, lab.model, tensors.unties)
        difference = compare(lab, building, expectation, edits, report)
        card = _card(lab, params, folder, fingerprint, stack, tensors, expectation, difference)
        (building / "README.md").write_text(card, encoding="utf-8")
        found.append((difference, card))

    written = write_model(folder, lab.info.name, fingerprint, write)
    ((difference, card),) = found
    report.uses(content_of(folder, written.hash, fingerprint), folder.name, "made")
    _add_views(lab, folder, stack, tensors, expectation, difference, report)
    report.add("card", Text(title="The card", note=str(folder / "README.md"), text=card))
    report.scalar("bytes", written.bytes)
    report.note(f"hash of the folder: {written.hash}")
    report.note(f"`workbench --model {folder}` opens it")


def _stack(lab: Lab, params: Params) -> list[ParsedEdit]:
    """The edits that are on, and the direction where it is not among them."""
    stack = list(lab.edits)
    if params.direction.strip():
        edit = resolve_edit(SetTo(units=f"@{direction_name(params.direction)}", value=0.0), lab.info)
        if str(edit) not in map(str, stack):
            stack.append(edit)
    return stack


def _card(
    lab: Lab,
    params: Params,
    folder: Path,
    fingerprint: str,
    stack: Sequence[ParsedEdit],
    tensors: ChangedTensors,
    expectation: Expected,
    difference: Difference,
) -> str:
    from workbench.experiments._export_card import Card, verified_lines

    transfer = any(lab.weights.named(name).transfer for name in tensors.edits.directions if not model_direction(name))
    return Card(
        name=folder.name,
        base=lab.info,
        fingerprint=fingerprint,
        is_hub_id=lab.model.identity.source.origin == "hub",
        edits=[str(edit) for edit in stack],
        directions=[_provenance(lab, name) for name in tensors.edits.directions],
        changes=[
            f"{change.role}: {count(change.n)} tensor{'s' * (change.n != 1)}, {change.removed:.3%} of the squared norm "
            f"changed"
            for change in tensors.changes
        ],
        untied=tensors.unties,
        verified=verified_lines(
            difference.logits,
            difference.kl,
            difference.mean_kl,
            difference.left if tensors.edits.directions else None,
            expectation.effect,
            expectation.floor,
            expectation.tokens,
            len(expectation.prompts),
        ),
        command=shell_line(
            shlex.split(command_line("export-model", params, lab.plain_edits, model=lab.info.ref, transfer=transfer))
        ),
    ).text


def _provenance(lab: Lab, name: str) -> str:
    """`@refusal: mean difference of …, made by step 3 of demo.db, hash 0123456789ab`."""
    known = [lab.weights.origin(name).words]
    if model_direction(name) is None:
        direction = lab.weights.named(name)
        known += [f"made on {direction.origin.model}"] if direction.origin.model else []
        known += [direction.made_by] if direction.made_by else []
        known.append(f"hash {direction.hash[:16]}")
    return f"`@{name}`: " + ", ".join(known)


def _add_views(
    lab: Lab,
    folder: Path,
    stack: Sequence[ParsedEdit],
    tensors: ChangedTensors,
    expectation: Expected,
    difference: Difference,
    report: Report,
) -> None:
    equal = difference.logits <= EQUAL or difference.kl <= ROUNDINGS * expectation.floor
    compared = "equal to the edited model" if equal else "not equal to the edited model"
    because = ", as a norm stands behind its attention and MLPs" if not equal and lab.info.post_norm else ""
    report.say(
        f"{folder} written: {lab.info.name} with {'; '.join(map(str, stack))} as weights · {compared}{because}: "
        f"logits differ by {number(difference.logits)} sd at most, KL {number(difference.kl)} nats "
        f"(rounding alone: {number(expectation.floor)}; the edit: {number(expectation.effect)} in the mean)"
    )
    for name in ("logits", "kl", "mean_kl", "left"):
        report.scalar({"logits": "difference_sd"}.get(name, name), getattr(difference, name))
    report.scalar("effect_kl", expectation.effect)
    report.scalar("rounding_kl", expectation.floor)
    items = [
        Scalar(name="largest difference of a logit", value=difference.logits, unit="sd of its position's logits"),
        Scalar(name="largest KL(edited ‖ copy)", value=difference.kl, unit="nats"),
        Scalar(name="mean KL(edited ‖ copy)", value=difference.mean_kl, unit="nats"),
        Scalar(name="largest KL of rounding alone", value=expectation.floor, unit="nats"),
        Scalar(name="mean KL(unedited ‖ edited)", value=expectation.effect, unit="nats"),
    ]
    if tensors.edits.directions:
        items.append(
            Scalar(name="left along the directions", value=difference.left, unit="of the stream's norm", help="at most")
        )
    texts = f"{count(expectation.tokens)} tokens of {count(len(expectation.prompts))} texts"
    report.add("verified", Scalars(title="The written copy beside the edited model", note=texts, items=items))
    report.add(
        "changes",
        Table(
            title="What was changed",
            note="the unembedding is its own tensor now" if tensors.unties else "",
            columns=[
                Column(key="role", name="weights"),
                Column(key="tensors", name="tensors", kind="int"),
                Column(key="removed", name="changed", kind="probability", help="share of the squared norm"),
            ],
            rows=[[change.role, change.n, change.removed] for change in tensors.changes],
        ),
    )
    rows: list[list[Any]] = []
    for file in report.track(sorted(folder.iterdir()), "files", stage="hashing"):
        with file.open("rb") as stream:
            rows.append([file.name, size(file.stat().st_size), hashlib.file_digest(stream, "sha256").hexdigest()])
    report.add(
        "files",
        Table(
            title="Files",
            note=str(folder),
            columns=[
                Column(key="file", name="file"),
                Column(key="size", name="size"),
                Column(key="sha256", name="SHA-256", gives_way="early"),
            ],
            rows=rows,
        ),
    )


EXPERIMENT = Experiment(
    name="export-model", help=__doc__, params=Params, run=run, group="directions", order=69, long=True
)
