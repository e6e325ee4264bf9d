"""Numbers that no scale can hold: a crafted session, or an experiment gone wrong, is drawn or said, never a crash."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.session.conftest import every_view
from workbench.drawing import draw
from workbench.drawing.svg import export_svg
from workbench.views import AnyView

EXTREMES = (np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324, 1e200, 0.0)


def places(part: Any) -> list[np.ndarray]:
    """Every array of a view, made float64 and free to be changed."""
    found = []
    if isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, np.ndarray):
                value = value.astype(np.float64)
                setattr(part, name, value)
                found.append(value)
            else:
                found += places(value)
    elif isinstance(part, list):
        found = [array for item in part for array in places(item)]
    return found


def spoiled(seed: int) -> AnyView:
    rng = random.Random(seed)
    view = rng.choice([view for view in every_view().values() if places(view)])
    arrays = places(view)
    for _ in range(rng.choice([1, 1, 2, 4])):
        array = rng.choice(arrays)
        if array.size:
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice(EXTREMES)
    return view


@pytest.mark.parametrize("start", range(0, 150, 50))
def test_every_extreme_is_drawn_or_said(start: int) -> None:
    for seed in range(start, start + 50):
        view = spoiled(seed)
        assert draw(view, 100)
        if seed % 10 == 0:
            assert export_svg(view).startswith("<?xml")


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_infinite_edge_or_count_of_a_histogram_is_said(value: float) -> None:
    for part in ("edges", "counts"):
        view = every_view()["histogram"]
        edges, counts = places(view)
        (edges if part == "edges" else counts)[2] = value
        assert f"its {part} are not finite" in "\n".join(line.plain for line in draw(view, 100))


def test_an_infinite_bar_is_a_number_in_the_shell_and_no_length_in_a_figure() -> None:
    view = every_view()["bars"]
    places(view)[0][1] = np.inf
    assert "∞" in "\n".join(line.plain for line in draw(view, 100))
    assert export_svg(view).startswith("<?xml")
