"""The settings file: every mistake is a sentence that names it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import settings
from workbench.errors import UserError


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_no_file_means_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "none.toml"))
    assert settings.load() == settings.Settings()


def test_values_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path, "theme='light'\nmodel='gpt2'\ndevice='cuda:1'\nidle_minutes=5\nmouse=false\n[keys]\nhelp='f2'\n"
    )
    found = settings.load(path)
    assert (found.theme, found.model, found.device) == ("light", "gpt2", "cuda:1")
    assert (found.idle_minutes, found.mouse, found.keys) == (5, False, {"help": "f2"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("themes='dark'", "no setting 'themes': did you mean 'theme'?"),
        ("zzz=1", "there is no setting 'zzz': there are theme, model"),
        ("mouse='yes'", "mouse: expected `bool`, got `str` (whether the workbench takes the mouse"),
        ("idle_minutes=-1", "idle_minutes: expected `float` >= 0"),
        ("theme='pink'", "theme: invalid enum value 'pink' (colours: dark, light"),
        ("device='gpu'", "device: "),
        ("theme=", "is not TOML: Invalid value (at end of document)"),
        ("keys={help=3}", "keys: expected `str`"),
        ("dtype='float8'", "dtype: invalid enum value 'float8' (auto, float32"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        settings.load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_or_binary_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        settings.load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        settings.load(tmp_path / "binary")


@given(st.text(max_size=80))
def test_any_text_is_settings_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        settings.load(path)
    except UserError as error:
        assert "\x1b" not in str(error)


def test_the_example_names_every_key_and_loads(tmp_path: Path) -> None:
    text = settings.example()
    assert all(name in text for name in settings.Settings.__struct_fields__)
    assert settings.load(written(tmp_path, text)) == settings.Settings()
    # with its comment marks removed it is still TOML and still the defaults
    bare = "\n".join(line.removeprefix("# ") for line in text.splitlines() if "=" in line or "[keys]" in line)
    bare = "\n".join(line for line in bare.splitlines() if "for example" not in line)
    assert tomllib.loads(bare)["idle_minutes"] == 60
    assert settings.load(written(tmp_path, bare)).keys == {"help": "f1"}
