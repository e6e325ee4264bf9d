"""What is being browsed: an index of neurons or of an SAE's features, a filter, an order, marks and sets.

Knows nothing of widgets. A neuron's id is layer * d_mlp + index, a feature's its index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import GrammarError
from workbench.index import query
from workbench.text import count
from workbench.tui.screens.neurons.columns import SHAPE, default_columns

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn
    from workbench.index.query import Query, TermCount
    from workbench.index.reader import NeuronIndex

SHARE = "share"
"""The column that a `fires:` term brings with it."""


class Browse:
    """`ids` [line] are the neurons or features that pass, in order."""

    def __init__(self) -> None:
        self.index: NeuronIndex | None = None
        self.query: Query = query.parse("", {})
        self.order_by, self.descending = "", False
        self.names: list[str] = []
        self.ids = np.zeros(0, np.int32)
        self.marks: set[int] = set()
        self.sets: dict[str, np.ndarray] = {}
        """named sets of pins: neuron ids"""
        self.extra: dict[str, IndexColumn] = {}
        """columns that a filter or an experiment brought"""
        self._chosen = False
        self._order: tuple[tuple[str, bool, int], np.ndarray] | None = None

    # --- what there is ---

    @property
    def columns(self) -> Mapping[str, IndexColumn]:
        return {**(self.index.columns if self.index else {}), **self.extra}

    @property
    def named_sets(self) -> dict[str, np.ndarray]:
        """What `in:` takes."""
        marked = {"marked": np.array(sorted(self.marks), np.int32)} if self.marks else {}
        return {**marked, **self.sets}

    def open(self, index: NeuronIndex) -> None:
        """Browse this index, or a newer revision: filter, order and columns stay where they still mean something."""
        had_data = self.index is not None and self.index.has_data
        other_units = self.index is not None and self.index.sae != index.sae
        if other_units:
            self.marks.clear()
            self.extra.clear()
            self.query, self.order_by, self.descending = query.parse("", {}), "", False
        self.index = index
        self._order = None
        if not self._chosen or other_units or index.has_data != had_data:
            self.names = default_columns(index)
            self._chosen = True
        if self.order_by and self.order_by not in self.columns:
            self.order_by, self.descending = "", False
        text = self.query.text
        try:
            self.filter(text)
        except GrammarError:
            self.filter("")

    # --- what is seen of it ---

    def parse(self, text: str) -> Query:
        """Raises GrammarError, pointing at the character."""
        return query.parse(text, self.columns, self.named_sets)

    def count(self, text: str) -> int:
        """How many would pass. Raises GrammarError."""
        assert self.index is not None
        return len(self.parse(text).run(self.index, self.named_sets, self.extra))

    def filter(self, text: str) -> None:
        """Raises GrammarError, and then everything is as it was."""
        assert self.index is not None
        parsed = self.parse(text)
        passing = parsed.run(self.index, self.named_sets, self.extra)
        share = parsed.shares(self.index)
        self._bring_column(SHARE, share)
        self.query = parsed
        self._arrange(passing)

    def _bring_column(self, name: str, values: np.ndarray | None) -> None:
        """The share of a `fires:` term is a column as long as the term stands, and the order to begin with."""
        from workbench.index.catalogue import IndexColumn

        if values is None:
            if self.extra.pop(name, None) and self.order_by == name:
                self.order_by, self.descending = "", False
            self.names = [shown for shown in self.names if shown != name]
            return
        if name not in self.extra:
            self.order_by, self.descending = name, True
            self.names = [name, *self.names]
        self.extra[name] = IndexColumn(
            name=name,
            title="share",
            help="share of the top examples that peak at one of these tokens",
            kind="probability",
            values=values,
        )
        self._order = None

    def add_column(self, column: IndexColumn, first: bool = True) -> None:
        """A column of our own, in front, and the order by it."""
        self.extra[column.name] = column
        self.names = [column.name, *(name for name in self.names if name != column.name)]
        self._order = None
        self.sort(column.name, True)

    def sort(self, column: str, descending: bool) -> None:
        """By address where `column` is empty."""
        self.order_by, self.descending = column, descending
        self._arrange(self.ids)

    def _arrange(self, passing: np.ndarray) -> None:
        assert self.index is not None
        n = self.index.units.n
        if not self.order_by:
            self.ids = np.sort(passing)[:: -1 if self.descending else 1]
            return
        key = (self.order_by, self.descending, id(self.columns[self.order_by]))
        if self._order is None or self._order[0] != key:
            everything = np.arange(n, dtype=np.int32)
            self._order = (key, query.sort(everything, self.columns[self.order_by], self.descending))
        mask = np.zeros(n, bool)
        mask[passing] = True
        self.ids = self._order[1][mask[self._order[1]]]

    def choose(self, names: Iterable[str]) -> None:
        """Which columns are shown, in this order."""
        self.names = [name for name in names if name in self.columns or name == SHAPE]

    # --- in words ---

    def words(self) -> str:
        """`38 of 46,080`."""
        total = self.index.units.n if self.index else 0
        return f"{count(len(self.ids))} of {count(total)}" if self.query.terms else f"{count(total)} {self.units}"

    @property
    def units(self) -> str:
        """What is listed: neurons, or features."""
        return "features" if self.index is not None and self.index.sae is not None else "neurons"

    def costliest_terms(self) -> list[TermCount]:
        """Where nothing passes: what each term takes, the one that takes most first."""
        if self.index is None or not self.query.terms:
            return []
        counts = self.query.explain(self.index, self.named_sets, self.extra)
        return sorted(counts, key=lambda term: -term.without)

    def relaxed(self) -> str:
        """The filter without the term that takes the most away."""
        assert self.index is not None
        counts = self.query.explain(self.index, self.named_sets, self.extra)
        worst = max(range(len(counts)), key=lambda at: counts[at].without)
        return self.query.without(worst)

    def address(self, neuron: int) -> str:
        assert self.index is not None
        return self.index.unit(neuron)
