"""Views as they come back from a peek."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.errors import UserError
from workbench.views import TokenRow, Tokens, to_builtins
from workbench.worker.model_process import _array_in_message
from workbench.worker.peeks import peek_views
from workbench.worker.protocol import PeekAnswer


def strip(values: np.ndarray) -> Tokens:
    return Tokens(
        title="t", tokens=["a"] * len(values), rows=[TokenRow(name="L0.N1", values=values)], value_label="activation",
        low_label="small", high_label="large",
    )  # fmt: skip


@given(arrays.arrays(st.sampled_from([np.float32, np.float64, np.int64]), st.integers(0, 30)))
def test_an_array_comes_back_as_it_was_sent(values: np.ndarray) -> None:
    sent = msgspec.msgpack.encode(PeekAnswer(slot="s", views=[to_builtins(strip(values), _array_in_message)]))
    (view,) = peek_views(msgspec.msgpack.decode(sent, type=PeekAnswer))
    assert isinstance(view, Tokens)
    np.testing.assert_array_equal(view.rows[0].values, values)
    assert view.rows[0].values.dtype == values.dtype


def test_an_error_is_raised_and_nonsense_is_a_sentence() -> None:
    with pytest.raises(UserError, match="no such unit"):
        peek_views(PeekAnswer(slot="s", error="no such unit"))
    with pytest.raises(UserError, match="cannot be read"):
        peek_views(PeekAnswer(slot="s", views=[{"kind": "nothing"}]))
    bad = to_builtins(strip(np.zeros(3)), lambda array: {"dtype": "float64", "shape": [1 << 40], "data": ""})
    with pytest.raises(UserError, match="cannot be read"):
        peek_views(PeekAnswer(slot="s", views=[bad]))
