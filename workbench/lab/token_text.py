"""What a token of the vocabulary stands for, as the tokenizer's own decoder reads it, one token at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Rule = Callable[[str], str | bytes]
"""a token's text after one step of the decoder; bytes end it"""

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SENTENCEPIECE: list[dict[str, Any]] = [{"type": "Metaspace", "replacement": "▁"}, {"type": "ByteFallback"}]
"""of tokenizers that say nothing of themselves: those of SentencePiece models"""


class TokenText:
    """The bytes that tokens of one tokenizer stand for."""

    def __init__(self, tokenizer: Any) -> None:
        steps = _steps(tokenizer)
        self.byte_level = any(step["type"] == "ByteLevel" for step in steps)
        """every byte of a text is in some token, spaces too: a text has the same tokens wherever it stands"""
        self._rules = [rule for step in steps if (rule := _rule(step)) is not None]

    def is_byte(self, token: str) -> bool:
        """The token stands for one byte: `<0xE2>`, where the decoder knows such tokens."""
        return _byte_token in self._rules and _BYTE_TOKEN.fullmatch(token) is not None

    def piece(self, token: str) -> bytes:
        """UTF-8, or a part of a character's."""
        for rule in self._rules:
            text = rule(token)
            if isinstance(text, bytes):
                return text
            token = text
        return token.encode()


def _steps(tokenizer: Any) -> list[dict[str, Any]]:
    """The steps of the decoder; where there is none, what the pre-tokenizer did to the text, to be taken back."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _SENTENCEPIECE
    for component, parts in ((backend.decoder, "decoders"), (backend.pre_tokenizer, "pretokenizers")):
        if component is not None:
            return list(_flattened(json.loads(component.__getstate__()), parts))
    return []


def _flattened(step: dict[str, Any], parts: str) -> Iterator[dict[str, Any]]:
    if step["type"] == "Sequence":
        for part in step[parts]:
            yield from _flattened(part, parts)
    else:
        yield step


def _rule(step: dict[str, Any]) -> Rule | None:
    """What a step does to one token; None for those that act on whole texts (joining, stripping, splitting)."""
    match step:
        case {"type": "ByteLevel"}:
            return _bytes_of_characters
        case {"type": "ByteFallback"}:
            return _byte_token
        case {"type": "Metaspace", "replacement": str(mark)}:
            return lambda token: token.replace(mark, " ")
        case {"type": "Replace", "pattern": {"String": str(pattern)}, "content": str(content)}:
            return lambda token: token.replace(pattern, content)
        case {"type": "Replace", "pattern": {"Regex": str(pattern)}, "content": str(content)}:
            return lambda token: re.sub(pattern, lambda _: content, token)
        case {"type": "WordPiece", "prefix": str(prefix)}:
            return lambda token: token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"
        case {"type": "BPEDecoder", "suffix": str(suffix)}:
            return lambda token: token.replace(suffix, " ")
    return None


def _byte_characters() -> dict[str, int]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    unprintable = [byte for byte in range(256) if byte not in printable]
    return table | {chr(256 + at): byte for at, byte in enumerate(unprintable)}


_BYTES = _byte_characters()


def _bytes_of_characters(token: str) -> str | bytes:
    if all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    return token


def _byte_token(token: str) -> str | bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match.group(1), 16)]) if match else token
