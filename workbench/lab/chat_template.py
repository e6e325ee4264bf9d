"""A model's chat template: what it writes around a text and the turns before it.

It is code of the model's authors: it may insert, strip or drop what it is given, and raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.datasets.conversation import Turn
from workbench.errors import UserError

PLACEHOLDER = "the-text-to-come"
"""for the text of a chat, to see what its template writes around it: no template holds it"""
_REPLY = "the-reply-to-it"
_THINK_OPENS, _THINK_CLOSES = "<think>", "</think>"
DEFAULT_SYSTEM = "default"
"""the system turn as the chat template has it; some write one by themselves"""
NO_SYSTEM = "none"
"""no system turn at all, also where the template writes one by itself (METHODS, "Refusal"); any other text is the turn
"""


def _conversation(system: str, text: str, earlier: Sequence[Turn] = ()) -> list[Turn]:
    turns = [] if system in (DEFAULT_SYSTEM, NO_SYSTEM) else [Turn("system", system)]
    return [*turns, *earlier, Turn("user", text)]


def _problem_of_turns(system: str, earlier: Sequence[Turn]) -> str:
    """Why earlier turns don't go with this system turn; empty where they do."""
    if earlier and system == NO_SYSTEM:
        return "a conversation has the system turn that stands in it, or the template's own: take `default`"
    if system != DEFAULT_SYSTEM and any(turn.role == "system" for turn in earlier):
        return "the conversation has a system turn of its own: leave one of the two out"
    return ""


class ChatTemplate:
    """A tokenizer's chat template; whether it has one, `exists` says."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        """`name` is the model's, for sentences."""
        self._tokenizer = tokenizer
        self.name = name
        self._texts_around: dict[tuple[bool, str, tuple[Turn, ...]], tuple[str, str] | None] = {}
        self._leads: dict[str, str] = {}

    @property
    def exists(self) -> bool:
        return bool(getattr(self._tokenizer, "chat_template", None))

    def write(
        self, text: str, system: str = DEFAULT_SYSTEM, earlier: Sequence[Turn] = ()
    ) -> tuple[str, tuple[str, str] | None]:
        """The text in the chat template, and what the template wrote before and after it; None where it changed it.

        `earlier` are the turns before it, oldest first; the first may be a system turn where `system` is `default`.

        Templates take a message's content as text, or as a list of parts: the form is used that the text is found in.
        Raises UserError where it is found in neither.
        """
        problem = _problem_of_turns(system, earlier)
        if problem:
            raise UserError(problem)
        for as_parts in (False, True):
            try:
                rendered = self._render(_conversation(system, text, earlier), as_parts)
                around = self._around(as_parts, system, earlier)
                if system == NO_SYSTEM and around and rendered.startswith(around[0]):
                    before = self._without_system(around[0], as_parts)
                    rendered, around = before + rendered.removeprefix(around[0]), (before, around[1])
            except UserError as sentence:
                problem = problem or str(sentence)
                continue
            if around and rendered == around[0] + text + around[1]:
                return rendered, around
            if around and text.strip() and text.strip() in rendered:  # the template strips what is typed
                return rendered, None
        raise UserError(
            problem
            or f"the chat template of {self.name} drops the text: leave the chat option off, or write the whole "
            f"conversation into the prompt"
        )

    def _around(self, as_parts: bool, system: str, earlier: Sequence[Turn]) -> tuple[str, str] | None:
        """What the template writes before a text and after it; None where it drops the text.

        Raises UserError where it drops the system turn.
        """
        key = (as_parts, system, tuple(earlier))
        if key not in self._texts_around:
            turns = _conversation(system, PLACEHOLDER, earlier)
            before, placeholder, after = self._render(turns, as_parts).partition(PLACEHOLDER)
            if any(turn.role == "system" and turn.content.strip() not in before for turn in turns):
                raise UserError(f"the chat template of {self.name} drops the system turn: take `default` or `none`")
            self._texts_around[key] = (before, after) if placeholder else None
        return self._texts_around[key]

    def _without_system(self, before: str, as_parts: bool) -> str:
        """What the template writes `before` a text, without the system turn: the BOS and what begins a user's turn.

        A later turn of the user shows how one begins. Raises UserError where the first does not begin like that.
        """
        turns = [Turn("user", PLACEHOLDER), Turn("assistant", _REPLY)]
        _, _, end_of_reply = self._render(turns, as_parts, generation=False).partition(_REPLY)
        _, _, later = self._render([*turns, Turn("user", PLACEHOLDER)], as_parts, generation=False).partition(_REPLY)
        header = later.partition(PLACEHOLDER)[0].removeprefix(end_of_reply)
        if not header or not before.endswith(header):
            raise UserError(
                f"where the system turn of {self.name}'s chat template ends is not known: take `default`, or a text"
            )
        bos = self._tokenizer.bos_token or ""
        return bos + header if bos and before.startswith(bos) and not header.startswith(bos) else header

    def reply_lead(self, system: str = DEFAULT_SYSTEM) -> str:
        """What stands in front of a finished reply, after where a reply begins: mostly nothing.

        A space, or the empty think block of a model that reasons: without it such a model's first token is no answer.
        """
        if system not in self._leads:
            self._leads[system] = next(filter(None, (self._lead(as_parts, system) for as_parts in (False, True))), "")
        return self._leads[system]

    def _lead(self, as_parts: bool, system: str) -> str:
        """As the template writes it in front of a finished reply, or where it is asked not to think."""
        turns = _conversation(system, PLACEHOLDER)
        try:
            begun = self._render(turns, as_parts)
            finished = self._render([*turns, Turn("assistant", _REPLY)], as_parts, generation=False)
            quiet = self._render(turns, as_parts, enable_thinking=False)
        except UserError:
            return ""
        # What is written before the text (a system turn that says how to think) may differ.
        after, after_quiet = (rendered.rpartition(PLACEHOLDER)[2] for rendered in (begun, quiet))
        lead = finished.removeprefix(begun).partition(_REPLY)[0] if finished.startswith(begun) else ""
        if _THINK_CLOSES not in lead and _THINK_CLOSES in after_quiet and after_quiet.startswith(after):
            return after_quiet.removeprefix(after)
        if not lead.strip() and after.rstrip().endswith(_THINK_OPENS):  # opened, and dropped from finished replies
            return "\n" * (2 - after.endswith("\n")) + _THINK_CLOSES + "\n\n"
        return lead

    def _render(self, turns: Sequence[Turn], as_parts: bool, generation: bool = True, **variables: bool) -> str:
        """Turns in the template, with `generation` up to where the model's reply begins.

        `variables` are those that a template may ask for, by the names that are usual.

        Raises UserError for whatever a template raises: it is code of the model's authors.
        """
        if not self.exists:
            raise UserError(f"{self.name} has no chat template: leave the chat option off")
        messages = [
            {"role": turn.role, "content": [{"type": "text", "text": turn.content}] if as_parts else turn.content}
            for turn in turns
        ]
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=generation, **variables
                )
            )
        except Exception as error:
            raise UserError(f"the model's chat template does not take this prompt: {error}") from None
