"""Files of labelled texts: CSV, compressed, JSONL, word/TAG, sae-probes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Span
from workbench.datasets.labelled.reading import read_labelled, read_typed, split_class, split_suffix
from workbench.datasets.labelled.sae_probes import read_sae_probes, sae_probes_files
from workbench.datasets.labelled.tagged import read_tagged
from workbench.datasets.labelled.targets import Choice
from workbench.errors import UserError

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


def written(rows, header=("prompt", "target")) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([header, *rows])
    return out.getvalue()


def read(tmp_path, text: str, name="a.csv", choice: Choice | None = None) -> LabelledSet:
    file = tmp_path / name
    file.write_bytes(text.encode())
    return read_labelled(file, choice)


def labels_by_text(labelled: LabelledSet) -> dict[str, float]:
    return {text.text: span.label for text, span in labelled.spans()}


@given(st.dictionaries(TEXT, st.integers(0, 1), min_size=2, max_size=20))
def test_a_csv_needs_nothing_more_than_prompt_and_target(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("csv")
    text = written(rows.items())
    if len(set(rows.values())) < 2:
        with pytest.raises(UserError, match="every example is"):
            read(folder, text)
        return
    labelled = read(folder, text)
    assert labels_by_text(labelled) == rows
    assert labelled.whole_texts
    assert labelled.classes == ("not a", "a")
    lines = "".join(json.dumps({"text": key, "label": value}) + "\n" for key, value in rows.items())
    assert labels_by_text(read(folder, lines, "a.jsonl")) == rows


@given(st.binary(max_size=200), st.sampled_from([".csv", ".jsonl", ".json", ".csv.gz"]))
def test_any_bytes_are_a_set_or_a_sentence(tmp_path_factory, content, suffix):
    file = tmp_path_factory.mktemp("bytes") / f"x{suffix}"
    file.write_bytes(content)
    try:
        labelled = read_labelled(file)
    except UserError as error:
        assert str(file) in str(error) or "class" in str(error) or "example" in str(error)
    else:
        assert isinstance(labelled, LabelledSet)


def test_what_is_stored_comes_back(tmp_path):
    made = LabelledSet(
        name="m",
        texts=[LabelledText("日本 is", [Span(0, 2, 1.0), Span(3, 5, 0.0)], 7)],
        read="extreme",
        classes=("a", "b"),
    )
    assert read(tmp_path, msgspec.json.encode(made).decode(), "m.json") == made
    assert made.hash == msgspec.structs.replace(made, name="other", note="n").hash
    assert made.hash != msgspec.structs.replace(made, read="max").hash


@pytest.mark.parametrize(
    ("targets", "classes", "labels"),
    [
        (["1", "0"], ("not a", "a"), [1, 0]),
        (["1.0", "0.0"], ("not a", "a"), [1, 0]),
        (["True", "False"], ("not a", "a"), [1, 0]),
        (["no", "yes"], ("not a", "a"), [0, 1]),
        (["zebra", "ape"], ("ape", "zebra"), [1, 0]),
        (["2", "10"], ("2", "10"), [0, 1]),
        (["-1", "1"], ("-1", "1"), [0, 1]),
    ],
)
def test_which_target_is_label_1(tmp_path, targets, classes, labels):
    labelled = read(tmp_path, written([(f"t{at}", target) for at, target in enumerate(targets)]))
    assert labelled.classes == classes
    assert [span.label for _, span in labelled.spans()] == labels
    assert not labelled.numeric


def test_numbers_are_targets_where_they_can_be_no_classes(tmp_path):
    assert read(tmp_path, written([("a", "1.5"), ("b", "2"), ("c", "-3e2")])).numeric
    assert read(tmp_path, written([(f"t{at}", at) for at in range(11)])).numeric
    few = written([("a", "1"), ("b", "2"), ("c", "3")])
    with pytest.raises(UserError, match="there are 3 classes.*behind the file, a.csv=1.*--positive.*--numeric"):
        read(tmp_path, few)
    labelled = read(tmp_path, few, choice=Choice(numeric=True))
    assert [span.label for _, span in labelled.spans()] == [1, 2, 3]
    one = read(tmp_path, few, choice=Choice(positive="2"))
    assert one.classes == ("not 2", "2")
    assert labels_by_text(one) == {"a": 0, "b": 1, "c": 0}


def test_documents_and_spans_of_a_csv(tmp_path):
    rows = [("red cat", "1", "x", 4, 7), ("red cat", "0", "x", 0, 3), ("blue", "0", "y", 0, 4)]
    labelled = read(tmp_path, written(rows, ("text", "label", "document", "start", "end")))
    assert labelled.texts == [
        LabelledText("red cat", [Span(4, 7, 1.0), Span(0, 3, 0.0)], 0),
        LabelledText("blue", [Span(0, 4, 0.0)], 1),
    ]


def test_spans_of_a_line_of_json(tmp_path):
    line = json.dumps({"text": "red cat", "spans": [[4, 7, 1], [0, 3, 0]]})
    assert read(tmp_path, line, "a.jsonl").texts == [LabelledText("red cat", [Span(4, 7, 1.0), Span(0, 3, 0.0)], 0)]


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("", "a.csv", "has the columns '': a labelled set needs prompt and target"),
        ("prompt,target\n", "a.csv", "no example in"),
        ("text,class\na,1\n", "a.csv", "columns 'text, class'"),
        ("prompt,target\na\n", "a.csv", "line 2: there are 1 cells where the first line has 2"),
        ('prompt,target\n"a,1\n', "a.csv", "line 2: no CSV"),
        ("prompt,target\n,1\n", "a.csv", "line 2: the text is empty"),
        ("prompt,target\na,\n", "a.csv", "line 2: there is no target"),
        ("prompt,target\na,nan\nb,1\n", "a.csv", "line 2: the target is nan: leave the line out"),
        ("prompt,target,start,end\nabc,1,2,9\n", "a.csv", "characters 2 to 9 does not lie in its text, which has 3"),
        ("prompt,target,start,end\nabc,1,x,9\n", "a.csv", "start is 'x', and counts characters"),
        ("{", "a.jsonl", "line 1: .*a line is"),
        ('{"prompt": "a"}', "a.jsonl", "line 1: there is no target"),
        ("[]", "a.json", "no labelled set as it is stored here"),
    ],
)
def test_bad_files_name_line_and_remedy(tmp_path, text, name, sentence):
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, text, name)


def test_a_number_is_asked_for_where_targets_are_numbers(tmp_path):
    with pytest.raises(UserError, match="line 3: the target 'x' is no number"):
        read(tmp_path, written([("a", "1"), ("b", "x")]), choice=Choice(numeric=True))
    with pytest.raises(UserError, match=r"no example is 'z': the targets are 'x' \(1\), 'y' \(1\)"):
        read(tmp_path, written([("a", "x"), ("b", "y")]), choice=Choice(positive="z"))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_labelled(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"prompt,target\n\xff,1\n")
    with pytest.raises(UserError, match="not UTF-8 text: byte 14"):
        read_labelled(tmp_path / "latin.csv")


def test_compressed_files(tmp_path, monkeypatch):
    text = written([("a", "1"), ("b", "0")])
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert labels_by_text(read_labelled(tmp_path / "x.csv.gz")) == {"a": 1, "b": 0}
    assert split_suffix(tmp_path / "x.csv.gz") == ("x", ".csv.gz")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(UserError, match="no whole gzip file"):
        read_labelled(tmp_path / "cut.csv.gz")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:12] + b"\xff" * 30)
    with pytest.raises(UserError, match="no whole gzip file"):
        read_labelled(tmp_path / "cut.csv.gz")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "x.csv.zst").write_bytes(b"(\xb5/\xfd")
    with pytest.raises(UserError, match="needs the package zstandard: pip install zstandard"):
        read_labelled(tmp_path / "x.csv.zst")


# --- word/TAG ----------------------------------------------------------------------------------------------

BROWN = "\n\tThe/at dog/nn 's/bez and/or/cc ran/vbd ./.\n\n\tDogs/nns (/( two/cd )/) ran/vbd ,/, too/ql ./.\n"


def test_words_with_tags_are_found_at_their_characters(tmp_path):
    for number in range(3):
        (tmp_path / f"c{number}").write_text(BROWN)
    labelled = read_tagged(tmp_path, ["nn*"], "nouns")
    words = [(text.text[span.start : span.end], span.label) for text, span in labelled.spans()]
    assert {word for word, label in words if label} == {"dog", "Dogs"}
    assert "and/or" in {word for word, _ in words}
    assert all(
        text.text[span.start - 1 : span.start] in ("", " ", "(") for text, span in labelled.spans() if span.label
    )
    assert labelled.texts[0].text == "The dog's and/or ran. Dogs (two) ran, too."
    assert {text.document for text in labelled.texts} == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "tags", "sentence"),
    [
        (BROWN, [], "which tags are label 1"),
        (BROWN, ["JJ"], "no word of .* has the tag 'JJ': the most frequent are"),
        ("plain words", ["nn"], "'plain' is no word/TAG"),
        ("", ["nn"], "there is no word/TAG in"),
    ],
)
def test_bad_tagged_files_are_sentences(tmp_path, text, tags, sentence):
    file = tmp_path / "c"
    file.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_tagged(file, tags, "x")


# --- sae-probes --------------------------------------------------------------------------------------------


def test_sets_of_sae_probes_by_number(tmp_path):
    folder = tmp_path / "data" / "cleaned_data"
    folder.mkdir(parents=True)
    (folder / "65_high-school.csv.gz").write_bytes(
        gzip.compress(written([("to high school", "1"), ("to high", "0")]).encode())
    )
    (folder / "102_twt_emotion.csv").write_text(written([("a", "joy"), ("b", "anger"), ("c", "fear")]))
    (folder / "102_twt_emotion.csv.gz").write_bytes(b"never read")
    other = tmp_path / "data" / "OOD data"
    other.mkdir()
    (other / "5_ismale_OOD.csv").write_text(written([("a", "1"), ("b", "0")]))
    assert list(sae_probes_files(tmp_path)) == [65, 102]
    labelled = read_sae_probes("sae-probes:65", str(tmp_path))
    assert labelled.name == "65_high-school"
    assert labels_by_text(labelled) == {"to high school": 1, "to high": 0}
    assert read_sae_probes("sae-probes:102", str(tmp_path), Choice(positive="joy")).classes == ("not joy", "joy")
    typed = read_sae_probes("sae-probes:102=joy", str(tmp_path))
    assert (typed.classes, typed.name) == (("not joy", "joy"), "102_twt_emotion-joy")
    with pytest.raises(
        UserError, match=r"3 classes, 'joy' \(1\), 'anger' \(1\), 'fear' \(1\).*behind the file, .*=joy;"
    ):
        read_sae_probes("sae-probes:102", str(tmp_path))
    for text, where, sentence in [
        ("sae-probes:66", str(tmp_path), "no set '66' of sae-probes in .*: there are 2, from 65 to 102"),
        ("sae-probes:x", str(tmp_path), "no set 'x'"),
        ("sae-probes:65", "", "the setting sae_probes, or with --folder"),
        ("sae-probes:65", str(tmp_path / "none"), "is not there"),
    ]:
        with pytest.raises(UserError, match=sentence):
            read_sae_probes(text, where)


def test_a_class_is_chosen_behind_a_file_of_many(tmp_path):
    path = tmp_path / "topics.csv"
    path.write_text(written([("a", "sport"), ("b", "art & craft"), ("c", "war"), ("d", "sport")]))
    labelled = read_typed(f"{path}=art & craft")
    assert (labelled.name, labelled.classes) == ("topics-art-craft", ("not art & craft", "art & craft"))
    assert labels_by_text(labelled) == {"a": 0, "b": 1, "c": 0, "d": 0}
    with pytest.raises(UserError, match=r"no example is 'peace': the targets are 'sport' \(2\)"):
        read_typed(f"{path}=peace")
    other = tmp_path / "x.csv=y"
    other.write_text(written([("a", "0"), ("b", "1")]))
    assert labels_by_text(read_typed(str(other))) == {"a": 0, "b": 1}, "a file of that name comes first"


@given(st.from_regex(r"\A[a-z= ]{1,8}\Z"), st.from_regex(r"\A[A-Za-z0-9=&]{1,8}\Z"))
def test_what_was_typed_is_a_file_and_its_class(name, positive):
    assert split_class(name) == (name, "")
    assert split_class(f"{name}.csv") == (f"{name}.csv", "")
    assert split_class(f"{name}.csv={positive}") == (f"{name}.csv", positive)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_one_of_several_targets_is_named(tmp_path, suffix):
    places = [("Oslo", 59.9, 10.8), ("Quito", -0.2, -78.5), ("Perth", -31.95, 115.9)]
    file = tmp_path / f"places.{suffix}"
    lines = ["Prompt,Latitude,longitude", *(f"{name},{lat},{lon}" for name, lat, lon in places)]
    if suffix == "jsonl":
        lines = [f'{{"prompt": "{name}", "Latitude": {lat}, "longitude": {lon}}}' for name, lat, lon in places]
    file.write_text("\n".join(lines))
    for target, column in (("Latitude", 1), ("longitude", 2)):
        labelled = read_labelled(file, Choice(target=target))
        assert labelled.name == f"places-{target}"
        assert labelled.numeric
        assert [span.label for _, span in labelled.spans()] == [place[column] for place in places]
    with pytest.raises(UserError, match="there is no .*'height'"):
        read_labelled(file, Choice(target="height"))
