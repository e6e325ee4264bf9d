"""The one way through the model: its own forward pass, with edits, captures and a look for a cancel at every block.

Every pass is the Hugging Face model's own forward. One that begins at a later block passes over the blocks before it
and hands that block our stream: masks, rotations, biases of attention, the final norm and the head stay the
model's own, whatever its architecture. Hooks exist inside `run_pass` only. What comes out is checked: numbers that are
NaN or infinite are no answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

from workbench.errors import UserError
from workbench.lab.applying import Hook, PassLayout, edit_hooks
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.finite import NotFinite, all_valid, explain, first_invalid
from workbench.lab.loaded import Model
from workbench.lab.metrics import beside
from workbench.lab.sending import sent
from workbench.lab.sites import SiteMap, position_axis
from workbench.lab.spread import at_home
from workbench.units import Site

Head = Literal["every", "last"] | None
"""where logits are computed: at every position, at the last column alone, or nowhere.

The last column alone gives other last bits than every position does (checked on the CPU, float32)."""
CACHE_NAMES = ("cache", "past_key_values")
"""what transformers calls the key-value cache: from 5.24 on, and before"""


@dataclass(frozen=True)
class BlockStart:
    """A block's input and extra outputs in an earlier pass, so that later passes can begin there."""

    stream: torch.Tensor
    """the stream at the block's input, before edits of it, [row, position, d_model]"""
    extra_outputs: tuple[Any, ...] | None
    """what the block returns beside the stream; None where it returns the stream alone, in no tuple"""


@dataclass(frozen=True)
class Entry:
    """Where a pass begins that does not begin at the embedding."""

    starts: Sequence[BlockStart]
    """of every block"""
    layer: int
    """n_layers: behind the last block"""
    stream: torch.Tensor
    """what that block is given, [row, position, d_model]"""


@dataclass(frozen=True)
class Passed:
    """What a pass left behind."""

    logits: torch.Tensor | None
    """[row, column, vocabulary]; one column where the last alone was computed; None without a head"""
    last: torch.Tensor | None
    """logits at each row's last token, [row, vocabulary]"""
    captured: dict[Site, torch.Tensor]
    starts: tuple[BlockStart, ...] = ()
    """of every block, where they were asked for"""
    past: Any = None
    """the key-value cache that the pass leaves"""


def run_pass(
    model: Model,
    ids: torch.Tensor,
    plans: Sequence[Plan] = (CLEAN,),
    layout: PassLayout | None = None,
    *,
    head: Head = "every",
    ends: Sequence[int] | None = None,
    capture: Sequence[Site] = (),
    watch: Mapping[Site, Hook] | None = None,
    entry: Entry | None = None,
    stop: int | None = None,
    keep_starts: bool = False,
    use_cache: bool = False,
    past: Any = None,
    padding_args: Mapping[str, torch.Tensor] | None = None,
    checked: bool = True,
    cancellable: bool = True,
    gradients: Callable[[], AbstractContextManager[Any]] = torch.inference_mode,
) -> Passed:
    """Run the model on `ids`, int64 [row, column]. Raises NotFinite, Cancelled, and UserError of an edit.

    One plan edits every row; as many plans as rows edit one row each. `layout` says where the prompts lie in the
    columns (by default each row is one); from its `start` on, columns go through the model, those before are in `past`,
    the key-value cache. `padding_args` are mask and positions of rows that are padded on the left. `ends` [row] are the
    columns of the rows' last tokens (by default the last). `capture` copies sites as edits leave them; `watch` are
    hooks that see them then. `stop` is a block that the pass does not come to: what is looked at lies before it, and
    there is no head. `gradients` is torch's mode: inference_mode, no_grad (what is kept can be used with
    gradients later) or enable_grad. Where not `checked`, numbers that are not finite come out as they are; where not
    `cancellable`, the pass goes to its end.
    """
    check = model.cancel_check if cancellable else None
    layout = layout or PassLayout((ids.shape[1],) * len(ids), model.info.n_heads)
    captured: dict[Site, torch.Tensor] = {}
    starts: list[BlockStart] = []
    hooks = edit_hooks(plans, layout)
    model.rotations.forget()
    logits: torch.Tensor | None = None
    with (
        gradients(),
        _hooks_on(model.sites, hooks, watch or {}, capture, captured, check) as hooked_points,
        model.wrappers.passed_over(hooked_points),
        _start_at(model, entry, starts if keep_starts else None),
        _stop_before(model, stop),
    ):
        logits, past = _call(model, ids[:, layout.start :], head, use_cache, past, padding_args or {})
    last = None
    if logits is not None:
        last = logits[:, -1] if ends is None else logits[_places(ends, ids.device)]
    lengths = [ids.shape[1]] * len(ids) if ends is None else [end + 1 for end in ends]
    invalid_row = _invalid_row(last, captured, lengths) if checked else None
    if invalid_row is not None:
        raise not_finite_row(model, ids, plans, layout, invalid_row, lengths[invalid_row])
    return Passed(logits, last, captured, tuple(starts), past)


def read_out(model: Model, stream: torch.Tensor) -> torch.Tensor:
    """Logits [row, position, vocabulary] as if the last block had left `stream` [row, position, d_model].

    The model's own way from there: its final norm, its head with whatever layers that has, its scale and softcap.
    """
    with torch.inference_mode():
        ids = torch.zeros(stream.shape[:2], dtype=torch.int64, device=stream.device)
        if model.starts is None:
            model.starts = run_pass(
                model, ids[:1, :1], head=None, keep_starts=True, checked=False, cancellable=False
            ).starts
        with _start_at(model, Entry(model.starts, model.info.n_layers, stream), None):
            logits, _ = _call(model, ids, "every", False, None, {})
    assert logits is not None
    return logits


def not_finite_row(
    model: Model, ids: torch.Tensor, plans: Sequence[Plan], layout: PassLayout, row: int, length: int
) -> NotFinite:
    """Where a pass of `ids` [row, column] goes wrong, one row of which leaves no numbers at column `length` − 1."""
    first = layout.padding[row] if layout.padding else 0
    return not_finite(model, ids[row, first:length], layout.lengths[row], plans[row % len(plans)])


def not_finite(model: Model, ids: torch.Tensor, length: int, plan: Plan) -> NotFinite:
    """Where the pass of one row of ids [position] goes wrong; its prompt is the first `length` of them."""
    hooks = edit_hooks([plan], PassLayout((length,), model.info.n_heads))

    def last() -> torch.Tensor:
        logits: torch.Tensor = model.hf(input_ids=ids[None], use_cache=False).logits[:, -1]
        return logits

    def rerun(recorder: AbstractContextManager[None]) -> torch.Tensor:
        with _hooks_on(model.sites, hooks), recorder:
            return last()

    with torch.inference_mode():
        return explain(model.hf, model.sites, rerun, edited=bool(plan.changes) and all_valid(last()))


def _call(
    model: Model, ids: torch.Tensor, head: Head, use_cache: bool, past: Any, padding_args: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor | None, Any]:
    """The model's own forward: logits, and the key-value cache that it leaves."""
    if head is None:
        model.hf.base_model(input_ids=ids, use_cache=False)
        return None, None
    accepted = _options(type(model.hf).forward)
    options: dict[str, Any] = {"use_cache": use_cache, **padding_args}
    if head == "last" and "logits_to_keep" in accepted:
        # As an index: a number makes Gemma 4 drop the other positions from its later blocks.
        options["logits_to_keep"] = sent([ids.shape[1] - 1], ids.device)
    name = _cache_name(model)
    if use_cache:
        options[name] = past
    with _dense_head(model):
        output = model.hf(input_ids=ids, **options)
    logits = output.logits[:, -1:] if head == "last" else output.logits
    return logits, getattr(output, name) if use_cache else None


def keeps_cache(model: Model, ids: torch.Tensor, past: Any) -> bool:
    """Whether the model's own generation goes on with the cache `past` for all tokens so far, `ids` [row, column].

    Some begin anew where their rotations change, some turn on what was rotated differently: each is asked.
    """
    name = _cache_name(model)
    mask = torch.ones_like(ids)
    inputs = model.hf.prepare_inputs_for_generation(ids, **{name: past}, attention_mask=mask, use_cache=True)
    return inputs.get(name) is past


def _cache_name(model: Model) -> str:
    accepted = _options(type(model.hf).forward)
    return next(name for name in CACHE_NAMES if name in accepted or name == CACHE_NAMES[-1])


@contextmanager
def _dense_head(model: Model) -> Iterator[None]:
    """The last column alone is a view with gaps, of which torch makes one small product a row: ten times slower."""

    def dense(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0].contiguous(), *args[1:])

    handle = model.hf.get_output_embeddings().register_forward_pre_hook(dense)
    try:
        yield
    finally:
        handle.remove()


@cache
def _options(forward: Callable[..., Any]) -> frozenset[str]:
    """The names of the arguments that a model class's forward takes."""
    return frozenset(inspect.signature(forward).parameters)


def _places(ends: Sequence[int], device: torch.device) -> tuple[slice | torch.Tensor, int | torch.Tensor]:
    """The index of the rows' last tokens in [row, column, …]."""
    if len(set(ends)) == 1:
        return slice(None), ends[0]
    return sent(range(len(ends)), device), sent(ends, device)


def _invalid_row(
    last: torch.Tensor | None, captured: Mapping[Site, torch.Tensor], lengths: Sequence[int]
) -> int | None:
    """The first row whose numbers are NaN or infinite: its last logits, or else what was captured last."""
    if last is not None:
        last = last.detach()
        return None if all_valid(last) else first_invalid(last)
    if not captured:
        return None
    site, values = list(captured.items())[-1]
    if torch.isfinite(values).all():
        return None
    places = values.movedim(position_axis(site), 1)
    for row, length in enumerate(lengths):
        if not torch.isfinite(places[row, :length]).all():
            return row
    return None  # padding alone


@contextmanager
def _hooks_on(
    sites: SiteMap,
    edits: Mapping[Site, Hook],
    watch: Mapping[Site, Hook] | None = None,
    capture: Sequence[Site] = (),
    captured: dict[Site, torch.Tensor] | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[list[Any]]:
    """Hooks for the length of one pass: edits, what watches, captures; `check` at every block. Gives their points."""
    hooked_points: list[Any] = []

    def add(site: Site, hook: Hook) -> None:
        point = sites.point(site)
        hooked_points.append(point)
        gain = sites.gain(site)
        hook = hook if gain == 1 else _contribution_hook(hook, gain)
        point.add_hook(hook if sites.home is None else at_home(hook, sites.home))

    problem = next(filter(None, map(sites.edit_problem, edits)), "")
    if problem:
        raise UserError(problem)
    try:
        if check is not None:
            for site in sites.block_inputs:
                hooked_points.append(sites.point(site))
                hooked_points[-1].add_hook(_check_hook(check))
        for site, hook in [*edits.items(), *(watch or {}).items()]:
            add(site, hook)
        for site in dict.fromkeys(capture):
            assert captured is not None
            add(site, _capture_hook(site, captured))
        yield hooked_points
    finally:
        for point in hooked_points:
            point.remove_hooks("fwd")


def _contribution_hook(hook: Hook, gain: float) -> Hook:
    """A hook on what is added to the stream, put where the model multiplies it with `gain` afterwards."""
    on_contribution = hook

    def scaled_hook(activation: torch.Tensor, hook: Any = None) -> torch.Tensor | None:
        contribution = activation * gain
        edited = on_contribution(contribution, hook)
        # What was not edited keeps its bits: it is not multiplied and divided again.
        return None if edited is None else torch.where(edited == contribution, activation, edited / gain)

    return scaled_hook


def _check_hook(check: Callable[[], None]) -> Hook:
    def hook(activation: torch.Tensor, hook: Any = None) -> None:
        check()

    return hook


def _capture_hook(site: Site, captured: dict[Site, torch.Tensor]) -> Hook:
    def hook(activation: torch.Tensor, hook: Any = None) -> None:
        captured[site] = activation.clone()

    return hook


@contextmanager
def _start_at(model: Model, entry: Entry | None, starts: list[BlockStart] | None) -> Iterator[None]:
    """For one pass: begins at `entry`, and keeps every block's start in `starts`, where these are given."""
    blocks = model.bridge.blocks
    skipped = list(blocks[: entry.layer]) if entry else []
    handles = []
    try:
        for layer, block in enumerate(skipped):
            assert entry is not None
            block.__dict__["forward"] = _skip_block(entry.starts[layer].extra_outputs)
        if entry is not None:
            # Behind the last block: that one is passed over and hands on what it is given.
            first = blocks[min(entry.layer, len(blocks) - 1)]
            # Before the hook that sends it to the block's device.
            handles.append(first.register_forward_pre_hook(_input_hook(entry.stream), with_kwargs=True, prepend=True))
        if starts is not None:
            hook = _start_hook(starts, model.hf.device)
            handles += [block.register_forward_hook(hook, with_kwargs=True) for block in blocks]
        yield
    finally:
        for handle in handles:
            handle.remove()
        for block in skipped:
            block.__dict__.pop("forward", None)


class _Stopped(Exception):  # noqa: N818 - it is a signal, not an error
    """A pass has come as far as anybody looks."""


@contextmanager
def _stop_before(model: Model, layer: int | None) -> Iterator[None]:
    """For one pass: it ends where this block would begin."""
    blocks = model.bridge.blocks
    if layer is None or layer >= len(blocks):
        yield
        return

    def stop(block: Any, args: Any, kwargs: Any) -> None:
        raise _Stopped

    handle = blocks[layer].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        yield
    except _Stopped:
        return
    finally:
        handle.remove()


def _skip_block(extra_outputs: tuple[Any, ...] | None) -> Callable[..., Any]:
    """In place of a block's forward: the stream goes on as it came."""

    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return hidden_states if extra_outputs is None else (hidden_states, *extra_outputs)

    return forward


def _input_hook(stream: torch.Tensor) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    def hook(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": stream}
        return (stream, *args[1:]), kwargs

    return hook


def _start_hook(starts: list[BlockStart], device: torch.device) -> Callable[..., None]:
    def hook(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        stream = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        starts.append(BlockStart(beside(stream, device), output[1:] if isinstance(output, tuple) else None))

    return hook
