"""The data sets of sae-probes (Kantamneni et al. 2025, "Are sparse autoencoders useful?"), from an unpacked folder.

They are files `65_high-school.csv` (also compressed) somewhere in it, with `prompt` and `target`; texts end at the
token that is read. Sets "out of distribution" (OOD) are not among them.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.labelled.reading import of_class, read_labelled, split_class
from workbench.datasets.labelled.targets import Choice
from workbench.errors import UserError

PREFIX = "sae-probes:"
_CODE = "label 0 is one pool of texts for all three of 158 to 160, and many texts begin with a licence"
_NEWS = "class names look wrong: Technology is business news, Entertainment is technology"
_SAME = "111 and 112 are the same texts, though named after two shops"
TRAPS = {97: _NEWS, 139: _NEWS, 140: _NEWS, 141: _NEWS, 111: _SAME, 112: _SAME, 158: _CODE, 159: _CODE, 160: _CODE}
"""what is to be known of a set, by number"""
_FILE = re.compile(r"(\d+)_.+\.csv(\.zst|\.gz)?")


def sae_probes_files(folder: Path) -> dict[int, Path]:
    """The sets by number; one that is there more than once as the file that needs no unpacking."""
    files = sorted(
        (
            file
            for file in folder.rglob("*_*.csv*")
            if _FILE.fullmatch(file.name) and "OOD" not in str(file.relative_to(folder))
        ),
        key=lambda file: (file.suffix == ".zst", file.suffix == ".gz", file.name),
    )
    by_number: dict[int, Path] = {}
    for file in files:
        by_number.setdefault(int(file.name.partition("_")[0]), file)
    return dict(sorted(by_number.items()))


def read_sae_probes(text: str, folder: str, choice: Choice | None = None) -> LabelledSet:
    """`sae-probes:65` from the folder, or `sae-probes:92=french`, with that class as label 1.

    Raises UserError where the folder or the number is not there.
    """
    text, positive = split_class(text)
    if positive:
        choice = msgspec.structs.replace(choice or Choice(), positive=positive)
    if not folder:
        raise UserError(
            f"{text} needs the folder that the sets of sae-probes are unpacked in: name it with the setting "
            "sae_probes, or with --folder"
        )
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"the folder of sae-probes {path} is not there")
    files = sae_probes_files(path)
    number = text.removeprefix(PREFIX).strip()
    if not number.isdecimal() or int(number) not in files:
        known = f"there are {len(files)}, from {min(files)} to {max(files)}" if files else "there is none"
        raise UserError(f"there is no set {number!r} of sae-probes in {path}: {known}")
    labelled = of_class(read_labelled(files[int(number)], choice), positive)
    trap = TRAPS.get(int(number))
    return msgspec.structs.replace(labelled, note=f"{labelled.note}; {trap}") if trap else labelled
