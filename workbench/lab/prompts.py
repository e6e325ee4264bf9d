"""Text to tokens and back, as the user would read them.

BOS is what the tokenizer's own call adds, never TransformerLens' default; a chat template writes its own special
tokens, so nothing is added to it (METHODS, "Positions").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from workbench.datasets.conversation import Turn
from workbench.errors import UserError
from workbench.lab.chat_template import DEFAULT_SYSTEM, PLACEHOLDER, ChatTemplate
from workbench.lab.token_text import TokenText
from workbench.text import count, show_token

_ALWAYS_TOKENIZED = 1 << 20
"""characters of a text that is tokenized however short the model's context is"""
Origin = Literal["text", "BOS", "earlier", "template", "chat"]
"""`earlier`: of a conversation's turns before the text, with what the template wrote around them; `chat`: of a prompt
whose template changed the text, so that nobody can say who wrote which token"""


@dataclass(frozen=True)
class Prompt:
    """Text as the model reads it."""

    text: str
    """as typed"""
    ids: np.ndarray
    """int64 [position]"""
    tokens: list[str]
    """[position]"""
    bos: str | None
    """the token that the tokenizer's own call put in front; None where it added nothing, and in a chat template"""
    template: bool
    before: str = ""
    """what the chat template wrote before the text"""
    after: str = ""
    """and after it"""
    verbatim: bool = True
    """the text stands in what the model reads as it was typed; some chat templates change it"""
    n_earlier: int = 0
    """turns of the conversation before the text"""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokenization(self) -> str:
        """How many tokens, with BOS or without: `6 tokens (no BOS)`."""
        n = f"{count(len(self))} token{'s' * (len(self) != 1)}"
        if self.template:
            return n
        return f"{n} (no BOS)" if self.bos is None else f"{n}, the first is the BOS {show_token(self.bos)}"

    @property
    def describe(self) -> str:
        """The same, with what the chat template wrote around the text."""
        if not self.template:
            return self.tokenization
        if not self.verbatim:
            return f"{self.tokenization}; the chat template changed the text"
        if self.n_earlier:
            turns = f"{count(self.n_earlier)} earlier turn{'s' * (self.n_earlier != 1)}"
            return f"{self.tokenization}; in the chat template, {turns} before the text"
        around = f"{show_token(self.before)} before the text and {show_token(self.after)} after it"
        return f"{self.tokenization}; the chat template wrote {around}"

    @cached_property
    def origins(self) -> list[Origin]:
        """Who wrote each token, [position]. One that holds a piece of the text is the text's."""
        if not self.verbatim:
            return ["chat"] * len(self)
        added: Origin = "template" if self.template else "BOS"
        first = _count_within(self.tokens, self.before if self.template else self.bos or "")
        last = _count_within(self.tokens[first:][::-1], self.after, backwards=True)
        before: Origin = "earlier" if self.n_earlier else added
        return [before] * first + ["text"] * (len(self) - first - last) + [added] * last


def _count_within(tokens: list[str], text: str, backwards: bool = False) -> int:
    """How many tokens, from the first on, lie within the beginning (`backwards`: the end) of `text`."""
    for n, token in enumerate(tokens):
        # SentencePiece may put a space of its own in front of a word, and before all as a token by itself.
        for written in (token, token.removeprefix(" ")):
            if text and (written or not n) and (text.endswith(written) if backwards else text.startswith(written)):
                text = text[: len(text) - len(written)] if backwards else text[len(written) :]
                break
        else:
            return n
    return len(tokens)


@dataclass(frozen=True)
class AnswerToken:
    """The token that stands for an answer: its first."""

    id: int
    token: str
    note: str
    """a sentence where the answer has more than this token, else empty"""


class Tokenization:
    """A model's tokenizer, and the two numbers that limit it: positions, and rows of the embedding."""

    def __init__(self, tokenizer: Any, n_ctx: int, name: str, n_embedded: int | None = None) -> None:
        """`n_embedded` is how many tokens the model can read and say; None is as many as the tokenizer has."""
        self.tokenizer = tokenizer
        self._n_ctx = n_ctx
        self._n_embedded = len(tokenizer) if n_embedded is None else n_embedded
        self._name = name
        self.chat = ChatTemplate(tokenizer, name)

    @cached_property
    def _added(self) -> dict[int, str]:
        return {index: token.content for index, token in self.tokenizer.added_tokens_decoder.items()}

    @cached_property
    def _token_text(self) -> TokenText:
        return TokenText(self.tokenizer)

    @cached_property
    def _longest_token(self) -> int:
        """In characters."""
        return max(map(len, self.tokenizer.get_vocab()))

    @cached_property
    def bos_token(self) -> str | None:
        """What the tokenizer's own call puts in front of a text, as text; None where it adds nothing."""
        ids, n_bos = self._with_bos("a")
        return "".join(self.token(index) for index in ids[:n_bos]) or None

    # --- text to tokens ------------------------------------------------------------------------

    def prompt(
        self,
        text: str,
        chat: bool = False,
        system: str = DEFAULT_SYSTEM,
        earlier: Sequence[Turn] = (),
        *,
        answering: bool = False,
    ) -> Prompt:
        """Text as tokens; `system` is the chat template's system turn: `default`, `none`, or its text.

        `earlier` are a conversation's turns before the text, oldest first; they need `chat`.
        `answering`: in the template, up to where a model that reasons has done so (METHODS, "Refusal": its empty think
        block).

        Raises UserError where it is empty, not text, longer than the model's context, or has a token that the model
        has no embedding for.
        """
        if not text:
            raise UserError("the prompt is empty: give the text that the model should read")
        before = after = ""
        verbatim = True
        n_bos = 0
        if earlier and not chat:
            raise UserError("a conversation needs the chat template: put the chat option on")
        if chat:
            rendered, around = self.chat.write(text, system, earlier)
            lead = self.chat.reply_lead(system) if answering else ""
            lead = lead if lead.strip() else ""
            ids = self._ids(rendered + lead)
            verbatim = around is not None
            before, after = around or ("", "")
            after += lead
        else:
            ids, n_bos = self._with_bos(text)
        if not ids:
            raise UserError("the tokenizer makes no token of this prompt: give text that the model can read")
        if len(ids) > self._n_ctx:
            raise UserError(
                f"the prompt has {count(len(ids))} tokens and {self._name} reads at most {count(self._n_ctx)}: "
                f"give a shorter one"
            )
        self.check_embedded(ids)
        tokens = [self.token(index) for index in ids]
        return Prompt(
            text,
            np.asarray(ids, dtype=np.int64),
            tokens,
            "".join(tokens[:n_bos]) or None,
            chat,
            before,
            after,
            verbatim,
            len(earlier),
        )

    def answer(self, text: str) -> AnswerToken:
        """The first token of an answer, spaces as typed. Raises UserError for an empty one."""
        ids = self.continuation(text)
        if not ids:
            raise UserError("the answer is empty: give the token that should follow, with its leading space")
        self.check_embedded(ids[:1])
        token = self.token(ids[0])
        note = ""
        if len(ids) > 1:
            note = f"{show_token(text)} is {len(ids)} tokens: its first, {show_token(token)}, is measured"
        return AnswerToken(ids[0], token, note)

    def reply_token(self, text: str, system: str = DEFAULT_SYSTEM) -> int:
        """The one token that a reply in the chat template begins with where it begins with `text`.

        As this tokenizer writes it there: after a space, if that is what the template puts in front of replies. Raises
        UserError where it is no token by itself.
        """
        rendered, _ = self.chat.write(PLACEHOLDER, system)
        lead = self.chat.reply_lead(system)
        before = rendered + (lead if lead.strip() else "")
        ids, whole = self._ids(before), self._ids(rendered + lead + text)
        if whole[: len(ids)] != ids or len(whole) != len(ids) + 1:
            pieces = ", ".join(show_token(self.token(index)) for index in self.continuation(text))
            raise UserError(
                f"the target {show_token(text)} is not one token where {self._name}'s replies begin ({pieces}): give "
                "its first token, or another word"
            )
        self.check_embedded(whole[-1:])
        return whole[-1]

    def check_embedded(self, ids: Sequence[int] | np.ndarray) -> None:
        """Raises UserError where a token is beyond the model's embedding: the tokenizer has more than the model."""
        beyond = np.flatnonzero(np.asarray(ids) >= self._n_embedded)
        if len(beyond):
            index = int(ids[beyond[0]])
            raise UserError(
                f"the text has the token {show_token(self.token(index))} (number {index}), and {self._name} knows "
                f"{count(self._n_embedded)} tokens, fewer than its tokenizer: leave it out, or open the model with "
                f"the tokenizer that belongs to it"
            )

    def _ids(self, text: str, special: bool = False) -> list[int]:
        # Before they are made: a tokenizer takes 200 bytes of memory and more for each character.
        if len(text) > _ALWAYS_TOKENIZED and len(text) > self._n_ctx * self._longest_token:
            raise UserError(
                f"the text has {count(len(text))} characters, more than {count(self._n_ctx)} tokens can hold, and "
                f"{self._name} reads no more: give a shorter one"
            )
        try:
            return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        except (UnicodeError, TypeError):
            raise UserError("the text holds half a character (a lone surrogate): paste it again as UTF-8") from None

    def _with_bos(self, text: str) -> tuple[list[int], int]:
        """Tokens of the tokenizer's own call up to the text's end, and how many it put in front."""
        plain, with_special = self._ids(text), self._ids(text, special=True)
        for start in range(len(with_special) - len(plain) + 1):
            if with_special[start : start + len(plain)] == plain:
                return with_special[: start + len(plain)], start
        return with_special, 0

    def continuation(self, text: str) -> list[int]:
        """Ids of a text in the middle of a line: SentencePiece would otherwise put a space in front."""
        ids = self._ids(text)
        if self._token_text.byte_level or not ids:
            return ids
        line, whole = self._ids("\n"), self._ids("\n" + text)
        return whole[len(line) :] if whole[: len(line)] == line else ids

    # --- tokens to text ------------------------------------------------------------------------

    def token(self, index: int) -> str:
        """One token as a reader sees it: ` Paris`, not `ĠParis`; bytes that are no character as `\\xNN`."""
        return self.piece(index).decode("utf-8", errors="backslashreplace")

    def piece(self, index: int) -> bytes:
        """One token's bytes of UTF-8."""
        index = int(index)
        token = self._added.get(index)
        if token is not None and not self._token_text.is_byte(token):
            return token.encode()
        token = self.tokenizer.convert_ids_to_tokens(index)
        if token is None:
            return f"<unused {index}>".encode()
        return self._token_text.piece(str(token))
