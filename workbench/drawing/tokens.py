"""Text with numbers on it: running text, every token filled with the colour of its value.

The position of its first token stands before each line. Where several rows are compared, or there are no colours, the
values stand under the tokens as digits, explained by the scale below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from workbench.drawing.layout import joined, plain
from workbench.drawing.legend import ramp_legend
from workbench.drawing.scale import Scale, signed_number
from workbench.drawing.style import Line, Style
from workbench.drawing.token_fold import STRONGEST, strongest, tokens_shown
from workbench.drawing.token_text import peak_parts
from workbench.drawing.token_wrap import LEFT_OUT, Piece, make_pieces, wrapped
from workbench.text import NOTHING, count, number, show_token, width
from workbench.views import TokenRow, Tokens

Part = tuple[str, str]
"""text and its rich style"""


def draw_tokens(view: Tokens, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """The text, the most extreme values in figures and the scale; what the note must add."""
    page = _Page(view, cells, style)
    below = [line for row in view.rows for line in page.figures(row)]
    if view.rows:
        below += page.legend()
    room = None if height is None else max(1, height - len(below))
    shown = tokens_shown(view, None if room is None else lambda kept: page.fits(kept, room))
    lines = [line for pieces in page.lay_out(shown) for line in page.block(pieces)]
    n_shown, differs = int(shown.sum()), view.differs_at is not None and view.differs_at < len(view.tokens)
    return [*lines, *below], joined(
        f"{count(n_shown)} of {count(len(view.tokens))} tokens shown" if n_shown < len(view.tokens) else "",
        f"{style.glyphs('≠', '!')} first token that differs" if differs else "",
        "" if view.tokens else "no tokens",
    )


class _Page:
    """One drawing of a view: what its lines share."""

    def __init__(self, view: Tokens, cells: int, style: Style) -> None:
        self.view, self.cells, self.style = view, cells, style
        self.scale = Scale([row.values for row in view.rows], style, view.signed)
        self.digits = bool(view.rows) and (len(view.rows) > 1 or not style.color)
        self.kinds = list(dict.fromkeys(view.labels))
        names = [row.name for row in view.rows] if len(view.rows) > 1 else []
        names += ["prompt", "generated"] if view.generated_from is not None else []
        longest = max((width(style.clean_text(name)) for name in names), default=0)
        self.name_cells = min(max(len("generated"), min(24, cells // 4)), longest)
        self.position_cells = len(str(max(0, len(view.tokens) - 1)))
        self.room = max(2, cells - self.position_cells - 1 - (self.name_cells + 1 if self.name_cells else 0))
        peaks = set(_peaks(view.rows[0], view)) if view.rows else set()
        self.pieces = make_pieces(view, peaks, self.room, bool(view.rows) and style.color, style)

    def lay_out(self, shown: np.ndarray, most: int | None = None) -> list[list[Piece]]:
        """Lines of the tokens `shown` [token], or the first `most` and one."""
        return wrapped(self.pieces, shown, self.room, self.style, most)

    def fits(self, shown: np.ndarray, room: int) -> bool:
        """These tokens [token] take no more than `room` lines."""
        return sum(map(self._height, self.lay_out(shown, room))) <= room

    def _height(self, pieces: Sequence[Piece]) -> int:
        return 1 + (len(self.kinds) > 1) + len(self.view.rows) * self._has_digits(pieces)

    def block(self, pieces: Sequence[Piece]) -> list[Line]:
        """A line of text; under it its labels and a line of digits for each row."""
        lines = [self._text_line(pieces)]
        if len(self.kinds) > 1:
            lines.append(self._label_line(pieces))
        if self._has_digits(pieces):
            lines += [self._digit_line(row, pieces) for row in self.view.rows]
        return lines

    def _begun(self, name: str = "", position: str = "") -> Line:
        head = self.style.fit(self.style.clean_text(name), self.name_cells) + " " if self.name_cells else ""
        return plain(f"{head}{position.rjust(self.position_cells)} ", "dim")

    def _text_line(self, pieces: Sequence[Piece]) -> Line:
        view, first = self.view, pieces[0]
        name = ""
        if view.generated_from is not None and first.first:
            before = first.at < view.generated_from
            begins = first.at in (0, LEFT_OUT) if before else first.starts_line or not view.generated_from
            name = ("prompt" if before else "generated") if begins else ""
        line = self._begun(name, str(first.at) if first.first and first.at != LEFT_OUT else "")
        parts: list[Part] = []
        for index, piece in enumerate(pieces):
            if index and piece.separator:
                parts.append((piece.separator, "dim"))
            parts += self._parts(piece)
        return _append(line, parts)

    def _parts(self, piece: Piece) -> list[Part]:
        """A piece of text on its fill."""
        view, style = self.view, self.style
        if piece.at == LEFT_OUT:
            return [(piece.text, "dim")]
        fill = self.scale.fill(_value(view.rows[0], piece.at)) if view.rows else self._label_look(piece.at)
        if piece.peak:
            return peak_parts(piece.text, fill, style)
        in_prompt = view.generated_from is not None and piece.at < view.generated_from
        return [(piece.text, fill or ("dim" if in_prompt else ""))]

    def _label_look(self, at: int) -> str:
        labels = self.view.labels
        return self.style.series(self.kinds.index(labels[at])) if len(self.kinds) > 1 and at < len(labels) else ""

    def _label_line(self, pieces: Sequence[Piece]) -> Line:
        """`template───────text──`: each label where its tokens begin."""
        view, style = self.view, self.style
        line = self._begun()
        after = [len(piece.separator) for piece in pieces[1:]] + [0]
        spans = [
            (view.labels[piece.at] if 0 <= piece.at < len(view.labels) else "", piece.at, piece.cells + gap)
            for piece, gap in zip(pieces, after, strict=True)
        ]
        for label, group in groupby(spans, key=lambda span: span[0]):
            run = list(group)
            cells = sum(span[2] for span in run)
            name = style.shorten(style.clean_text(label), cells)
            bar = style.glyphs("─", "-") if label else " "
            shown = f"{name}{bar * (cells - width(name) - 1)}".ljust(cells - width(name) + len(name))
            line.append(shown, self._label_look(run[0][1]) if label else "")
        return line

    def _has_digits(self, pieces: Sequence[Piece]) -> bool:
        """Some token of the line has a value; the prompt before generated text has none."""
        return self.digits and any(
            not np.isnan(_value(row, piece.at)) for row in self.view.rows for piece in pieces if piece.at != LEFT_OUT
        )

    def _digit_line(self, row: TokenRow, pieces: Sequence[Piece]) -> Line:
        """A row's values, each in one character under its token."""
        nothing = self.style.glyphs(NOTHING, "-")
        parts: list[Part] = []
        for index, piece in enumerate(pieces):
            parts.append((" " * len(piece.separator) if index else "", ""))
            if piece.at == LEFT_OUT:
                parts.append((" " * piece.cells, ""))
                continue
            value = _value(row, piece.at)
            digit = " " if not piece.first else nothing if np.isnan(value) else self.scale.digit(value)
            body = min(piece.body, piece.cells - 1)
            parts.append((f"{' ' * body}{digit}".ljust(piece.cells), self.scale.fill(value)))
        line = _append(self._begun(row.name if len(self.view.rows) > 1 else ""), parts)
        if not self.style.color:
            line.rstrip()
        return line

    def figures(self, row: TokenRow) -> list[Line]:
        """The most extreme values with their tokens and positions; both ends where signed."""
        view, style = self.view, self.style
        values = np.asarray(row.values[: len(view.tokens)], dtype=float)
        ranked = [at for at in np.argsort(-values, kind="stable") if not np.isnan(values[at])]
        if not ranked:  # of a single row the legend says it
            return [plain(f"{style.clean_text(row.name)}: no values", "dim")] if len(view.rows) > 1 else []
        ends = [("highest", ranked)]
        if view.signed:
            ends = [
                ("highest", [at for at in ranked if values[at] > 0]),
                ("lowest", [at for at in reversed(ranked) if values[at] < 0]),
            ]
            ends = [(end, positions) for end, positions in ends if positions] or [("highest", ranked)]
        write = signed_number if view.signed else number
        lines = []
        for end, positions in ends:
            text = f"{row.name}, {end}: " if len(view.rows) > 1 else f"{end}: "
            named = [
                f"{show_token(view.tokens[at])} {write(float(values[at]))} at {at}" for at in positions[:STRONGEST]
            ]
            text = style.clean_text(text + named.pop(0))
            for figure in map(style.clean_text, named):
                if width(text) + 2 + width(figure) > self.cells:
                    break
                text += f", {figure}"
            lines.append(plain(style.shorten(text, self.cells), "dim"))
        return lines

    def legend(self) -> list[Line]:
        """What the fills and digits mean, from one end of the scale to the other; its name before it or above it."""
        view, style = self.view, self.style
        name = plain(style.shorten(style.clean_text(view.value_label), self.cells), "dim")
        scale = ramp_legend(self.scale, view.low_label, view.high_label, self.cells, self.digits)
        if not name.plain:
            return scale
        if len(scale) > 1 or width(name.plain) + 2 + scale[0].cell_len > self.cells:
            return [name, *scale]
        return [name.append(": ", "dim").append_text(scale[0])]


def _value(row: TokenRow, at: int) -> float:
    return float(row.values[at]) if at < len(row.values) else float("nan")


def _peaks(row: TokenRow, view: Tokens) -> list[int]:
    """The strongest token and its ties, STRONGEST at most; none where all are alike."""
    ranked = strongest(row, len(view.tokens), view.signed)
    strength = [abs(float(row.values[at])) if view.signed else float(row.values[at]) for at in ranked]
    if len(ranked) > 1 and strength[0] == strength[-1]:
        return []
    return [at for at, value in zip(ranked[:STRONGEST], strength, strict=False) if value == strength[0]]


def _append(line: Line, parts: Iterable[Part]) -> Line:
    """Neighbours of one style as one span."""
    for look, group in groupby(parts, key=lambda part: part[1]):
        line.append("".join(text for text, _ in group), look)
    return line
