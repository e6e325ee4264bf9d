"""`python -m tests.architectures [NAME …]`: ours against plain Hugging Face hooks, one line an architecture.

--json FILE writes all of it; --readme prints README's list. Exit status 1 where something is wrong that is not refused.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see README, "Where things are"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from tests.architectures.compare import Result, as_data, compare
from tests.architectures.configs import ARCHITECTURES


def run(names: list[str]) -> Iterator[Result]:
    """Each in folders of its own, so that nothing of the user's is touched."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for name in names:
        with (
            tempfile.TemporaryDirectory(prefix="wb-architectures-") as folder,
            patch.dict(os.environ, WORKBENCH_CACHE=f"{folder}/cache"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            result = compare(name, Path(folder, name))
        yield result


def line(result: Result) -> str:
    start = f"{result.name:<20} {result.model_class:<28}"
    if result.wrong:
        remarks = [f"remark: {remark}" for remark in result.remarks]
        return "\n  ".join([f"{start} WRONG:", *result.wrong, *remarks])
    if result.refused:
        return f"{start} refused: {result.refused}"
    figures = "  ".join(f"{check} {figure}" for check, figure in result.figures.items())
    return f"{start} right  {figures}" + "".join(f"\n  remark: {remark}" for remark in result.remarks)


def readme(results: list[Result]) -> str:
    """README's list, in Markdown: what is right, what of that with which remark, what is refused and why."""
    right = [result for result in results if result.verdict == "right"]
    groups: dict[str, list[str]] = {"Right": [result.name for result in right if not result.remarks]}
    for result in right:
        for remark in dict.fromkeys(map(_general, result.remarks)):
            groups.setdefault(f"Right, with the remark: {remark}", []).append(result.name)
    for result in results:
        if result.verdict == "refused":
            groups.setdefault(f"Refused: {_reason(result)}", []).append(result.name)
    groups["**Not right**"] = [result.name for result in results if result.verdict == "WRONG"]
    versions = f"With transformers {version('transformers')} and transformer_lens {version('transformer_lens')}:"
    lines = [f"- {title} ({len(names)}): {_code(names)}" for title, names in groups.items() if names]
    return "\n".join([versions, "", *lines])


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _general(remark: str) -> str:
    """The first part of a remark, without the layer and the sizes that it found."""
    return re.sub(r"^layer \d+: | \(off by [^)]*\)", "", remark).partition(": ")[0]


def _reason(result: Result) -> str:
    """A refusal without the model's name, its numbers, and what to do instead."""
    sentence = result.refused.partition(": open")[0]
    if "does not know" in sentence:
        return "TransformerLens does not know it"
    if sentence.startswith("TransformerLens can't"):
        return "TransformerLens knows the architecture and not this variant of it"
    whole = f"{result.name} ({result.model_class})"
    for named in (f" of {whole}", f"{whole} "):
        sentence = sentence.replace(named, "")
    sentence = re.sub(r"^layer \d+ ", "a layer ", sentence)
    return re.sub(r"\d+ heads of .*", "heads of one width", sentence)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.architectures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them by default")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--readme", action="store_true", help="print README's list; the table goes to stderr")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ARCHITECTURES]
    if unknown:
        parser.error(f"no architecture {', '.join(unknown)}: there are {', '.join(ARCHITECTURES)}")
    results = []
    for result in run(options.names or list(ARCHITECTURES)):
        results.append(result)
        print(line(result), flush=True, file=sys.stderr if options.readme else sys.stdout)
    if options.json:
        options.json.write_text(json.dumps([as_data(result) for result in results], indent=1))
    if options.readme:
        print(readme(results))
    counts = {
        verdict: sum(result.verdict == verdict for result in results) for verdict in ("right", "refused", "WRONG")
    }
    summary = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    print(
        f"{len(results)} architectures: {summary} · {sum(result.seconds for result in results):.0f} s · "
        f"transformers {version('transformers')}, transformer_lens {version('transformer_lens')}",
        file=sys.stderr if options.readme else sys.stdout,
    )
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
