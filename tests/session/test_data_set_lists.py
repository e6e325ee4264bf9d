"""Several data sets as one parameter: typed with commas, each once in the session, restored in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.session.test_data_sets import CSV, small
from workbench.artifacts.data_set import content_of, keep_set
from workbench.errors import UserError
from workbench.experiments import experiment
from workbench.params import DATA_SETS, label_of, make_params, params_builtins, read_params
from workbench.session.reader import SessionReader
from workbench.session.stored_sets import MOST_KNOWN, REFERENCE, extract_sets, restore_sets
from workbench.session.submission import make_submission
from workbench.session.typed_sets import read_sets
from workbench.session.writer import SessionWriter
from workbench.tui.suggest import suggest_data_sets

BATTERY = experiment("battery")


def submitted(path: Path, typed: object) -> int:
    values, names = read_sets(BATTERY.params, {"data": typed}, path)
    with SessionWriter(path) as writer:
        return writer.submit(make_submission("battery", values, [], session=str(path), names=names))


def test_names_and_files_stand_once_in_the_session_and_come_back_in_their_order(own_folders: Path) -> None:
    keep_set(small("b"), "b")
    path, file = own_folders / "a.db", own_folders / "spam.csv"
    file.write_text(CSV)
    assert submitted(path, f"b, {file},@months") == 1
    file.unlink()
    assert submitted(path, "months,spam") == 2, "the session has it by its name"
    with SessionReader(path) as reader:
        assert {(row.name, row.steps) for row in reader.artifacts()} == {("b", 1), ("spam", 2), ("months", 2)}
        assert [line.label for line in reader.rows()] == ["b, spam, months, 3 data sets", "months, spam, 2 data sets"]
        for step, expected in ((1, ["b", "spam", "months"]), (2, ["months", "spam"])):
            record = reader.step(step)
            again = make_params(BATTERY.params, record.params)
            assert [labelled.name for labelled in again.data] == expected
            assert record.command == f"workbench run battery --data {','.join('@' + name for name in expected)}"
        assert make_params(BATTERY.params, reader.step(1).params).data[0] == small("b")
        assert reader.steps_with(content_of(small("b")).hash)[0].step == 1, "by which the set's steps are listed"


def test_a_name_that_there_is_not_is_said_before_anything_runs(own_folders: Path) -> None:
    with pytest.raises(UserError, match=r"there is no data set 'nothing': there are .*months"):
        submitted(own_folders / "a.db", "months,nothing")


def test_python_may_mix_names_and_sets(own_folders: Path) -> None:
    values, _ = read_sets(BATTERY.params, {"data": ["months", small("own")]}, "")
    assert [labelled.name for labelled in read_params(BATTERY.params, values).data] == ["months", "own"]


def test_what_is_no_set_stays_as_it_is() -> None:
    for broken in (["months"], 3, [{"texts": 3}]):
        stored, uses = extract_sets("battery", {"data": broken}, {})
        assert (stored, uses) == ({"data": broken}, [])


def test_what_was_restored_once_is_not_read_again() -> None:
    sets = [small(f"s{at}", 20 + at) for at in range(MOST_KNOWN + 2)]
    stored, uses = extract_sets("battery", params_builtins(make_params(BATTERY.params, {"data": sets[:3]})), {})
    assert [value[REFERENCE] for value in stored["data"]] == [use.content.hash for use in uses]
    contents = {content_of(each).hash: content_of(each) for each in sets}
    loaded: list[str] = []

    def load(digest: str):  # type: ignore[no-untyped-def]
        loaded.append(digest)
        return contents[digest]

    known: dict[tuple[str, str], object] = {}
    first = restore_sets(stored, load, known)
    assert make_params(BATTERY.params, first).data == sets[:3]
    assert restore_sets(stored, load, known) == first
    assert len(loaded) == 3
    for each in sets:
        restore_sets({"data": {REFERENCE: content_of(each).hash}}, load, known)
    assert len(known) == MOST_KNOWN


def test_the_kind_follows_from_the_field() -> None:
    from workbench.params import fields

    data = next(field for field in fields(BATTERY.params) if field.name == "data")
    assert data.kind is DATA_SETS
    assert label_of(BATTERY.params, {"data": [{}, {}]}) == "2 data sets"
    assert BATTERY.is_long(make_params(BATTERY.params, {"data": [small()]}))


def test_the_last_name_completes() -> None:
    assert suggest_data_sets("mon") == "months"
    assert suggest_data_sets("months, @plu") == "months, @plural"
    assert suggest_data_sets("months,") == ""
    assert suggest_data_sets("months,zzz") == ""
