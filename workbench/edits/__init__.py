"""Edits: changes to the forward pass, as data. `workbench.lab` applies them.

    L12.N345=0              set a neuron's activation; heads and sites are vectors and can be set to 0
    L12.N345*=2             scale (neurons, heads, sites, components)
    L12.N345=mean           its mean over a fixed text
    L10.F77=5               set a feature of an SAE: what changes is added, the SAE's error stays
    L10.F77~=0              the same without the error: the site becomes the SAE's reconstruction
    L5.H3=resample          its value at positions of that text, drawn by seed
    L5.H3<"other prompt"    its value on another prompt, position by position
    @refusal=0              project a direction out wherever it can be written
    L14.resid_post@refusal=0   or at chosen sites; a component takes =NUMBER, *=, +=, =mean, =resample, <"…" too
    L14.resid_post+=6*@capital   add a direction as stored; L*.resid_post for every layer, -= subtracts
    L12.N345+=.5            add to an activation
    basket:months=0         a set of the session's pins; it is written out when a step begins
    stack:months            a stack that was saved under this name in the session, as its edits that are on

Directions come from the session, from files, or from the model: @L12.N345.out is what a neuron writes, .in (.gate
where gated) what it reads, .out.raw, .in.raw, .gate.raw the weights as stored; @L5.H3.ov1 is what a head writes most;
@L10.F77.dec is what a feature writes, .enc what it reads.
Where: everywhere, or [last] [3] [2-5] [1-] [prompt] [generated] after the units: L12.N345[last]=0. Position 0 is the
first token; `last` is the prompt's last token, whatever is generated after it.
A stack of edits is applied in its order: each sees what the ones before it left.
"""

from __future__ import annotations

from workbench.edits.grammar import check_stack_name, parse_edit, parse_edits
from workbench.edits.parsed import ParsedEdit, check_contradictions, check_stack, resolve_edit
from workbench.edits.positions import Positions, parse_positions
from workbench.edits.structs import (
    STACK,
    Add,
    Edit,
    Entry,
    Function,
    Mean,
    Overwrite,
    Patch,
    Resample,
    Scale,
    SetTo,
    Stacks,
    check_replayable,
    stack_text,
)

__all__ = [
    "STACK",
    "Add",
    "Edit",
    "Entry",
    "Function",
    "Mean",
    "Overwrite",
    "ParsedEdit",
    "Patch",
    "Positions",
    "Resample",
    "Scale",
    "SetTo",
    "Stacks",
    "check_contradictions",
    "check_replayable",
    "check_stack",
    "check_stack_name",
    "parse_edit",
    "parse_edits",
    "parse_positions",
    "resolve_edit",
    "stack_text",
]
