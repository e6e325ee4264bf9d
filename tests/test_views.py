import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from workbench.views import (
    Column,
    Heatmap,
    Lines,
    Scalar,
    Scalars,
    Series,
    Table,
    TokenRow,
    Tokens,
    from_builtins,
    to_builtins,
    view_kind,
)

numbers = arrays(np.float64, array_shapes(min_dims=1, max_dims=1, max_side=8))


@given(numbers, st.text(), st.text())
def test_a_view_survives_plain_json(values, title, name):
    view = Lines(title=title, x=values, series=[Series(name=name, y=values)], x_label="layer", y_label="KL, nats")
    back = from_builtins(msgspec.json.decode(msgspec.json.encode(to_builtins(view))))
    assert (back.title, back.series[0].name, view_kind(back)) == (title, name, "lines")
    finite = np.isfinite(values)
    np.testing.assert_array_equal(back.series[0].y[finite], values[finite])
    assert np.isnan(back.series[0].y[~finite]).all(), "JSON has no nan or infinity: both come back as nan"


def test_arrays_go_through_the_store():
    kept = []

    def store(array):
        kept.append(array)
        return {"$array": len(kept) - 1}

    view = Heatmap(
        title="lens",
        values=np.eye(2, dtype=np.float32),
        row_labels=["L0", "L1"],
        column_labels=["a", "b"],
        row_axis="layer",
        column_axis="token",
        low_label="unlikely",
        high_label="likely",
    )
    data = to_builtins(view, store)
    assert data["values"] == {"$array": 0}
    back = from_builtins(data, lambda found: kept[found["$array"]])
    np.testing.assert_array_equal(back.values, np.eye(2))
    assert back.values.dtype == np.float32


def test_data_that_is_no_view_is_refused():
    for data in [{"kind": "hologram"}, {"kind": "lines", "title": "x"}, [], {"kind": "tokens", "tokens": 3}]:
        with pytest.raises(msgspec.ValidationError):
            from_builtins(data)


def test_numpy_scalars_in_tables_become_plain_numbers():
    view = Table(title="t", columns=[Column(name="p", kind="probability")], rows=[[np.float32(0.5)], [None]])
    assert to_builtins(view)["rows"] == [[0.5], [None]]


def test_cells_are_read_by_keys_whatever_the_headings_say():
    columns = [Column(key="unit", name="neuron", kind="unit"), Column(name="?"), Column(key="kl", name="KL, nats")]
    view = Table(title="t", columns=columns, rows=[["L0.N1", "x", 0.5], ["L0.N2", "y", None]])
    assert view.cells("kl") == [0.5, None]
    assert view.records() == [{"unit": "L0.N1", "kl": 0.5}, {"unit": "L0.N2", "kl": None}]
    assert view.column("kl") is columns[2]
    assert (view.column("?"), view.cells("neuron"), view.column("")) == (None, [], None)


def test_a_table_from_before_there_were_keys_is_a_table_without_them():
    old = {"kind": "table", "title": "t", "columns": [{"name": "p", "kind": "probability"}], "rows": [[0.5]]}
    view = from_builtins(old)
    assert (view.columns[0].key, view.row_keys, view.records()) == ("", [], [{}])
    back = from_builtins(msgspec.json.decode(msgspec.json.encode(to_builtins(view))))
    assert back == view


def test_every_kind_has_its_name():
    assert view_kind(Scalars(title="", items=[Scalar(name="kl", value=1.0)])) == "scalars"
    tokens = Tokens(
        title="",
        tokens=["a"],
        rows=[TokenRow(name="clean", values=np.array([np.nan]))],
        value_label="surprise, nats",
        low_label="expected",
        high_label="surprising",
    )
    assert to_builtins(tokens)["kind"] == "tokens"
