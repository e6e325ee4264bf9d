"""Data sets as parameters: typed as a name or a file, once in the session by their hash, run again from there."""

from __future__ import annotations

import sqlite3
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import workbench.experiments as room
from workbench.artifacts.data_set import (
    KIND,
    content_of,
    data_sets_dir,
    facts_of,
    keep_set,
    read_data,
    set_names,
    set_of,
)
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.errors import UserError
from workbench.experiments import experiment, experiments
from workbench.params import make_params, params_builtins, read_params
from workbench.session.reader import SessionReader
from workbench.session.submission import make_submission
from workbench.session.typed_sets import read_sets
from workbench.session.writer import SessionWriter
from workbench.tui.suggest import suggest_data_set

COUNTING = '''
    """How many examples a set has."""

    from __future__ import annotations

    from typing import Annotated

    from msgspec import Meta

    from workbench.datasets.labelled.labelled_set import LabelledSet
    from workbench.experiment import Experiment
    from workbench.params import DataSet
    from workbench.params import Params as BaseParams
    from workbench.report import Report


    class Params(BaseParams, kw_only=True, frozen=True):
        data: Annotated[DataSet, Meta(description="labelled texts", extra={"example": "months"})] = LabelledSet()


    def run(lab, params: Params, report: Report) -> None:
        report.say(f"{len(params.data)} examples of {params.data.classes[1]}")


    EXPERIMENT = Experiment(
        name="counting", help=__doc__, params=Params, run=run, group="directions", order=99, takes_edits=False
    )
'''
CSV = "prompt,target\n" + "".join(f"text {number},{number % 2}\n" for number in range(40))


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An experiment on a data set."""
    (tmp_path / "counting.py").write_text(textwrap.dedent(COUNTING).lstrip())
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    experiments.cache_clear()
    yield
    sys.modules.pop("workbench.experiments.counting", None)
    experiments.cache_clear()


def small(name: str = "small", n: int = 20) -> LabelledSet:
    texts = [LabelledText(f"t{at}", [Span(0, 1 + len(str(at)), float(at % 2))]) for at in range(n)]
    return LabelledSet(name=name, texts=texts, classes=("even", "odd"))


def submitted(path: Path, typed: str) -> int:
    values, names = read_sets(experiment("counting").params, {"data": typed}, path)
    submission = make_submission("counting", values, [], session=str(path), names=names)
    with SessionWriter(path) as writer:
        return writer.submit(submission)


def test_a_file_becomes_the_set_and_lies_once_in_the_session(counting: None, own_folders: Path) -> None:
    path, file = own_folders / "a.db", own_folders / "spam.csv"
    file.write_text(CSV)
    assert [submitted(path, str(file)) for _ in range(2)] == [1, 2]
    file.unlink()
    assert submitted(path, "@spam") == 3, "the session has it by its name"
    assert submitted(path, "spam") == 4
    with SessionReader(path) as reader:
        (row,) = reader.artifacts()
        assert (row.kind, row.name, row.steps) == ("data set", "spam", 4)
        assert [line.label for line in reader.rows()] == ["spam, 40 examples"] * 4
        record = reader.step(4)
        again = make_params(experiment("counting").params, record.params)
        assert len(again.data) == 40
        assert record.command == "workbench run counting --data @spam"
        assert again.data == set_of(reader.content(row.hash))
    connection = sqlite3.connect(path)
    assert all(len(params) < 200 for (params,) in connection.execute("SELECT params FROM step"))
    connection.close()


def test_a_set_that_changed_is_another_and_old_steps_keep_theirs(counting: None, own_folders: Path) -> None:
    path, file = own_folders / "a.db", own_folders / "spam.csv"
    file.write_text(CSV)
    submitted(path, str(file))
    file.write_text(CSV + "one more,1\n")
    submitted(path, str(file))
    with SessionReader(path) as reader:
        sizes = [len(make_params(experiment("counting").params, reader.step(step).params).data) for step in (1, 2)]
        assert sizes == [40, 41]
        assert [(row.name, row.steps) for row in reader.artifacts()] in ([("", 1), ("spam", 1)], [("spam", 1), ("", 1)])


def test_names_of_the_data_folder_and_of_what_ships(counting: None, own_folders: Path) -> None:
    keep_set(small(), "mine")
    data_sets_dir().joinpath("table.csv").write_text(CSV)
    assert set_names()[:2] == ["mine", "table"]
    assert {"months", "past", "plural", "is_python"} < set(set_names())
    assert read_data("mine") == small("mine")
    assert len(read_data("@table")) == 40
    values, names = read_sets(experiment("counting").params, {"data": "months"}, own_folders / "none.db")
    assert names == {"data": "months"}
    assert len(values["data"]) > 100
    with pytest.raises(UserError, match="no data set 'nothing': there are mine, table, is_python.*nothing.csv"):
        read_data("nothing")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_data("nothing.csv")
    assert suggest_data_set("mo") == "months"
    assert suggest_data_set("@mi") == "@mine"
    assert suggest_data_set("") == suggest_data_set("months") == ""


def test_keeping_a_set(own_folders: Path) -> None:
    file = keep_set(small(), "mine")
    assert keep_set(small("other"), "mine") == file, "the same labels"
    with pytest.raises(UserError, match="mine is another data set already"):
        keep_set(small(n=22), "mine")
    for name in ("", "a/b", ".hidden", "a "):
        with pytest.raises(UserError, match="is no name for a data set"):
            keep_set(small(), name)


def test_a_large_set_is_stored_compressed_and_has_its_name(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.artifacts.data_set.PLAIN", 100)
    file = keep_set(small(), "mine")
    assert file.name == "mine.json.gz"
    written = file.read_bytes()
    assert written[:2] == b"\x1f\x8b"
    assert read_data("mine") == small("mine")
    assert "mine" in set_names()
    assert keep_set(small(), "mine") == file
    with pytest.raises(UserError, match="mine is another data set already"):
        keep_set(small(n=22), "mine")
    (artifact,) = KIND.listed()
    assert (artifact.name, artifact.hash) == ("mine", content_of(small("mine")).hash)
    file.write_bytes(written[: len(written) // 2])
    with pytest.raises(UserError, match="is no whole gzip file"):
        read_data("mine")
    KIND.remove(artifact)
    assert "mine" not in set_names()


def test_what_is_being_written_has_no_name(own_folders: Path) -> None:
    keep_set(small(), "mine")
    (data_sets_dir() / ".mine2.json").write_text("{")
    assert "mine2" not in set_names()
    assert ".mine2" not in set_names()


def test_a_set_that_is_too_large_is_refused(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.artifacts.data_set.LARGEST", 100)
    with pytest.raises(UserError, match="a session holds at most 100 bytes: take fewer examples with --limit"):
        keep_set(small(), "mine")


def test_parameters_take_a_set_a_file_or_plain_data(counting: None, own_folders: Path) -> None:
    params = experiment("counting").params
    assert not make_params(params, {}).data
    assert make_params(params, {"data": small()}).data == small()
    file = own_folders / "spam.csv"
    file.write_text(CSV)
    typed = read_params(params, {"data": str(file)})
    assert make_params(params, params_builtins(typed)) == typed
    assert experiment("counting").is_long(typed)
    assert not experiment("counting").is_long(make_params(params, {}))


def test_a_damaged_set_is_a_sentence() -> None:
    content = content_of(small())
    assert set_of(content) == small()
    damaged = msgspec.structs.replace(content, spec={**content.spec, "texts": [{"text": 1}]})
    with pytest.raises(UserError, match="a data set is damaged in the session"):
        set_of(damaged)


def test_what_is_said_of_a_set() -> None:
    facts = dict(facts_of(msgspec.structs.replace(small(), read="extreme", note="by hand")))
    assert facts["label 1"] == "odd, 10"
    assert facts["labels are of"] == "texts"
    assert facts["read"] == "largest size over the tokens"
    assert facts["from"] == "by hand"
    numbers = LabelledSet(texts=[LabelledText("ab", [Span(0, 1, 3.5), Span(1, 2, -2)])], numeric=True)
    assert dict(facts_of(numbers))["targets"] == "numbers, -2 to 3.5"
    assert dict(facts_of(numbers))["labels are of"] == "tokens"
