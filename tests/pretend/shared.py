"""A model whose blocks read keys and values of earlier blocks (Gemma 4), spread over two pretend devices.

    python -m tests.pretend.shared

Prints a line of JSON a case: its name, an error or "", and the scalars that are not the CPU's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.lab.changed import of_config, opened, shared_keys_and_values
from tests.lab.labs import PROMPT
from tests.pretend import device
from tests.pretend.cases import Case, run
from tests.pretend.compare import described, differing, lab_on
from workbench.model_info import LayersOn

CASES = (
    Case("predict", {"prompt": PROMPT}, "L1.N3=0"),
    Case("generate", {"prompt": PROMPT, "tokens": 4}, "L2.N3=1"),
    Case("sweep", {"prompt": PROMPT, "n": 4, "others": 4}),
)


def main() -> int:
    if not device.set_up():
        print(json.dumps({"skip": "this torch has no interface for devices in Python"}))
        return 0
    folder = Path(tempfile.mkdtemp())
    os.environ["WORKBENCH_DATA"], os.environ["WORKBENCH_CACHE"] = str(folder / "data"), str(folder / "cache")
    model = of_config(folder / "model", shared_keys_and_values())
    home, other = f"{device.NAME}:1", f"{device.NAME}:0"
    # The layers that make keys and values are at home, those that read them are not.
    whole, spread = opened(model), lab_on(model, home, spread=(LayersOn(home, 0, 1), LayersOn(other, 2, 3)))
    for case in CASES:
        error, differs = "", []
        try:
            differs = differing(run(spread, case), run(whole, case))
        except Exception as raised:
            error = described(raised)
        print(json.dumps({"case": case.name, "error": error, "differs": differs}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
