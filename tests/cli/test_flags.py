"""Parameters as flags, and files of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from tests.cli.conftest import Run
from workbench.cli.flags import describe_parameter, limits, params_from_flags
from workbench.datasets.prompts import PromptRow, read_prompts
from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments import experiments
from workbench.params import PromptParams, fields


class Example(PromptParams, kw_only=True, frozen=True):
    top: Annotated[int, Meta(ge=1, le=1000, description="how many", extra={"unit": "tokens"})] = 10
    heat: Annotated[float, Meta(ge=0, description="how random")] = 0.0
    way: Annotated[Literal["up", "down"], Meta(description="where to")] = "up"
    layers: Annotated[list[int], Meta(description="which layers")] = []
    strengths: Annotated[list[float], Meta(description="how strong")] = []


EXAMPLE = Experiment(name="example", help="", params=Example, run=lambda *_: None, group="says", order=0)


def test_flags_become_typed_parameters() -> None:
    given_flags = {"prompt": "a", "top": "5", "heat": ".5", "way": "down", "layers": "1, 2,3", "chat": True}
    given_flags["strengths"] = "-.5, .5,1e1"
    params = params_from_flags(EXAMPLE, given_flags)
    assert params == Example(
        prompt="a", top=5, heat=0.5, way="down", layers=[1, 2, 3], strengths=[-0.5, 0.5, 10.0], chat=True
    )
    assert params_from_flags(EXAMPLE, {"prompt": None, "top": None}) == Example()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"top": "0"}, "top: expected `int` >= 1"),
        ({"top": "many"}, "top: "),
        ({"way": "left"}, "--way left: there are up, down"),
        ({"layers": "1,x"}, "layers: "),
        ({"strengths": ".5,much"}, "strengths: "),
        ({"prompt": "\udcff"}, "--prompt: this is not UTF-8"),
    ],
)
def test_wrong_values_name_the_flag(values: dict[str, str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        params_from_flags(EXAMPLE, values)
    assert says in str(caught.value)


def test_a_parameter_is_described_in_one_line() -> None:
    top = next(field for field in fields(Example) if field.name == "top")
    assert describe_parameter(top) == "how many (tokens, 1 to 1,000) [10]"
    heat = next(field for field in fields(Example) if field.name == "heat")
    assert limits(heat) == "at least 0"


def test_prompts_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\r\n\ntwo two\n")
    assert read_prompts(path) == [PromptRow("one"), PromptRow("two two")]


def test_prompts_of_a_jsonl_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a", "answer": " b", "foil": " c"}\n\n{"prompt": "d"}\n')
    assert read_prompts(path) == [PromptRow("a", " b", " c"), PromptRow("d")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": 3}\n', "p.jsonl, line 2: Expected `str`"),
        ("p.jsonl", b'{"prompt": "a"}\n{"promt": "b"}\n', "line 2: "),
        ("p.jsonl", b'{"prompt": "a"}\n\n{oops\n', "line 3: "),
        ("p.jsonl", b'{"prompt": ""}\n', "line 1: the prompt is empty"),
        ("p.jsonl", b"plain text\n", "line 1: "),
        ("p.txt", b"\n  \n", "there is no prompt in"),
        ("p.txt", b"a\xff\xfe\n", "not UTF-8 text: byte 1"),
    ],
)
def test_wrong_prompt_files_name_the_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_prompts(path)
    assert says in str(caught.value)
    assert name in str(caught.value)


def test_a_prompt_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_prompts(tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_are_prompts_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    try:
        assert all(row.prompt for row in read_prompts(path))
    except UserError as error:
        assert str(error).isprintable()


def test_the_example_of_every_experiment_is_accepted(invoke: Run) -> None:
    from workbench.cli.run import example

    for definition in experiments().values():
        assert example(definition).startswith(f"workbench run {definition.name} --")
        listed = invoke("experiments", definition.name)
        assert listed.exit_code == 0
        for field in fields(definition.params):
            assert field.flag in listed.output


def test_experiments_as_json(invoke: Run) -> None:
    import json

    data = json.loads(invoke("experiments", "--json").stdout)
    assert [item["name"] for item in data] == list(experiments())
    top = next(p for p in data[0]["params"] if p["name"] == "top")
    assert (top["default"], top["unit"], top["minimum"], top["maximum"]) == (10, "tokens", 1, 1000)


def test_experiments_is_a_list_of_a_line_or_two_each(invoke):
    out = invoke("experiments").stdout
    assert all(f"\n{name} " in f"\n{out}" for name in experiments())
    assert "--" not in out and len(out.splitlines()) < 3 * len(experiments())
    assert "--top" in invoke("experiments", "predict").stdout
