"""Prints, as one line of JSON, what torch can compute on. Run as a process: torch takes seconds and may crash."""

from __future__ import annotations

import json


def main() -> None:
    import torch

    from workbench.lab.device import gpu_problem, pick_device, usable_devices, usable_dtypes
    from workbench.worker.cores import allowed_cores
    from workbench.worker.engine import limit_threads

    limit_threads()
    devices = usable_devices()
    capabilities = {
        "torch": torch.__version__,
        "devices": devices,
        "dtypes": {name: usable_dtypes(name) for name in devices},
        "problem": gpu_problem() or "",
        "auto": pick_device("auto"),
        "threads": torch.get_num_threads(),
        "cores": allowed_cores(),
    }
    print(json.dumps(capabilities))  # noqa: T201


if __name__ == "__main__":
    main()
