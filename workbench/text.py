"""Text on its way to a terminal: what is unsafe made visible, numbers made short, widths in cells.

`safe` is the one place that decides what a terminal gets to see. Model text, file names, titles from session
files and error messages all pass it before they are drawn.
"""

from __future__ import annotations

import math
import re
import time
import unicodedata

from rich.cells import cell_len, set_cell_size

MINUS = "−"
_DAY = 86400.0
NOTHING = "–"
"""Stands where there is no number."""

# Joiners are letters' business in Persian and Indic scripts; variation selectors change nothing but the glyph,
# and terminals disagree about the width they give.
_JOINERS = "\u200c\u200d"
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_OWN_BACKSLASH = re.compile(r"\\(?!x[89a-f][0-9a-f])")
"""not the one before a byte: `Tokenization.token` writes bytes that are no character as `\\xNN`"""
_MAX_MARKS = 4
"""Combining marks kept on one character; a crafted text can stack thousands."""
_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def escape(character: str) -> str:
    """One character as a visible escape: `\\n`, `\\x1b`, `\\u202e`. From `\\x80` on, `\\x` stands for bytes alone."""
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str, newlines: bool = False) -> str:
    """`text` without anything that could steer a terminal or hide: such characters become visible escapes.

    Control characters, escape sequences, NUL, bidirectional overrides, invisible and unassigned characters, lone
    surrogates, floods of combining marks. With `newlines`, `\\n` stays and tabs become spaces.
    """
    if newlines:
        return "\n".join(safe(line.replace("\t", "    ")) for line in text.replace("\r\n", "\n").split("\n"))
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    marks = 0
    for at, character in enumerate(_SELECTORS.sub("", text) if not text.isascii() else text):
        category = unicodedata.category(character)
        if category[0] == "M":
            marks += 1
            if not kept:
                kept.append("◌")  # a mark with nothing to sit on would join whatever is drawn before it
            if marks <= _MAX_MARKS and character not in _INVISIBLE:
                kept.append(character)
            continue
        marks = 0
        if character in _INVISIBLE or category in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp"):
            kept.append(escape(character))
        elif category == "Cf":
            joins = character in _JOINERS and kept and unicodedata.category(kept[-1][-1])[0] in "LM"
            kept.append(character if joins and at + 1 < len(text) else escape(character))
        else:
            kept.append(character)
    return "".join(kept)


def show_token(token: str) -> str:
    """A token as the tokenizer sees it, in single quotes, every character visible: `' Paris'`, `'\\n'`.

    Escapes are unambiguous: a backslash of the token's own is doubled, and `\\xe8` is a byte that is no character.
    """
    token = _OWN_BACKSLASH.sub(r"\\\\", token)
    if token.isascii() and token.isprintable():
        return "'" + token + "'"
    shown = []
    for character in token:
        hidden = character != " " and unicodedata.category(character) in ("Zs", "Cf")
        shown.append(escape(character) if hidden or _SELECTORS.match(character) else character)
    return "'" + safe("".join(shown)) + "'"


def width(text: str) -> int:
    """Terminal cells that `text` takes."""
    return len(text) if text.isascii() else cell_len(text)


def shorten(text: str, cells: int) -> str:
    """At most `cells` terminal cells of `text`, on one line, with `…` where something was left out."""
    if cells <= 0:
        return ""
    if width(text) <= cells:
        return text
    # A character takes a cell or two; marks that take none are few after `safe`.
    return set_cell_size(text[: cells * (_MAX_MARKS + 2)], cells - 1).rstrip() + "…"


def quoted(text: str, cells: int = 40) -> str:
    """Text of the user in a sentence: one line, quoted, shortened."""
    return f"'{shorten(safe(text), cells)}'"


def shorten_left(text: str, cells: int) -> str:
    """Like `shorten`, with the end kept: `…` stands where it begins."""
    if width(text) <= cells:
        return text
    at, room = len(text), cells - 1
    while at and width(text[at - 1]) <= room:
        at -= 1
        room -= width(text[at])
    while at < len(text) and not width(text[at]):
        at += 1  # a mark whose character was left out
    return "…" + text[at:] if cells > 0 else ""


def fit(text: str, cells: int, right: bool = False) -> str:
    """`text` in exactly `cells` terminal cells: shortened, or padded on its right (its left, with `right`)."""
    text = shorten(text, cells)
    padding = " " * (cells - width(text))
    return padding + text if right else text + padding


def number(x: float | None, digits: int = 3) -> str:
    """A number in few significant digits: `.771`, `412`, `1,234`, `1.0e-6`, `−3`; `–` for none and nan."""
    if x is None or math.isnan(x):
        return NOTHING
    if x < 0:
        return MINUS + number(-x, digits)
    if math.isinf(x):
        return "∞"
    if x == 0:
        return "0"
    if isinstance(x, int) and x < 10**6:
        return f"{x:,}"
    if x < 1e-3 or x >= 1e6:
        mantissa, _, exponent = f"{x:.1e}".partition("e")
        if not (mantissa.startswith("10") and exponent == "-04"):
            return f"{mantissa}e{int(exponent)}"
    decimals = max(0, digits - 1 - math.floor(math.log10(x)))
    return trim(f"{x:,.{decimals}f}")


def trim(text: str) -> str:
    """A decimal number's text without the zeros nobody needs: `0.50` becomes `.5`."""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    for start in ("0.", "-0.", f"{MINUS}0."):
        if text.startswith(start):
            return text.replace("0.", ".", 1)
    return text or "0"


def probability(p: float | None) -> str:
    """A probability: `.771`, `.004`, `4.2e-5`; never rounded to a certainty that it is not."""
    if p is None or math.isnan(p):
        return NOTHING
    if 0 < p < 5e-4 or p < 0:
        return number(p)
    if p < 1 and p >= 0.9995:
        return ">.999"
    return f"{p:.3f}".lstrip("0") if 0 < p < 1 else number(p)


def seconds(x: float | None) -> str:
    """A duration: `4 ms`, `.2 s`, `48 s`, `3 min`, `2 h 5 min`, `3 days`."""
    if x is None or math.isnan(x):
        return NOTHING
    if x < 0.05:
        return f"{round(x * 1000)} ms"
    if x < 9.95:
        return f"{trim(f'{x:.1f}')} s"
    if x < 99.5:
        return f"{round(x)} s"
    minutes = round(x / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{minutes // (24 * 60)} days"


def estimate(x: float, before: str = "") -> str:
    """A duration that lies ahead, `before` it a word like "about "; one of more than a day is no estimate."""
    return before + seconds(x) if x <= _DAY else "more than a day"


def pace(per_second: float) -> str:
    """How fast something goes: `13 a second`, `100 s each`."""
    return f"{number(round(per_second, 1))} a second" if per_second >= 0.95 else f"{seconds(1 / per_second)} each"


def ago(then: float) -> str:
    """`today 14:03`, `yesterday`, `3 days ago`, `2026-11-02`."""
    days = (time.time() - then) / 86400
    day = time.localtime(then)
    if time.localtime()[:3] == day[:3]:
        return time.strftime("today %H:%M", day)
    if days < 2:
        return "yesterday" if time.localtime(time.time() - 86400)[:3] == day[:3] else "2 days ago"
    return f"{int(days)} days ago" if days < 30 else time.strftime("%Y-%m-%d", day)


def count(n: float) -> str:
    """A whole number: `46,080`."""
    return f"{round(n):,}".replace("-", MINUS)


def spread(median: str, low: str, high: str) -> str:
    """What many controls do: `median .004 (5–95 %: .001–.019)`."""
    return f"median {median} (5–95 %: {low}–{high})"


def stand_out(n: int, total: int) -> str:
    """`9 of 46,080 stand out from chance`; what chance is, `sweep` says."""
    return f"{count(n) if n else 'none'} of {count(total)} stand{'s' * (n < 2)} out from chance"


def size(number_of_bytes: float) -> str:
    """An amount of memory: `412 KiB`, `0.9 GiB`."""
    amount = float(number_of_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 900 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.1f} {unit}" if unit != "bytes" and amount < 10 else f"{amount:,.0f} {unit}"
