"""What the checks say: a line each, and the same as JSON."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Record:
    """Lines of the parts, in order."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Any]] = {}
        self._entries: list[dict[str, Any]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """One part; one that stops is a failed check, and the next goes on."""
        self._entries = []
        started = time.perf_counter()
        print(f"\n{name}", flush=True)
        try:
            yield
        except Exception as error:  # whatever stops a part is what the check is there to find
            traceback.print_exc()
            lines = str(error).strip().splitlines()
            self.check("the part runs to its end", False, f"{type(error).__name__}: {lines[0] if lines else ''}")
        seconds = time.perf_counter() - started
        self.parts[name] = {"seconds": round(seconds, 2), "checks": self._entries}
        print(f"      {name}: {seconds:.1f} s", flush=True)

    def check(self, name: str, passed: bool, text: str, **numbers: Any) -> None:
        """A line with PASS or FAIL; `text` is the figure to read, `numbers` what it is made of."""
        self._add(name, bool(passed), text, numbers)

    def figure(self, name: str, text: str, **numbers: Any) -> None:
        """A line that nothing is asked of: a time, a size."""
        self._add(name, None, text, numbers)

    def _add(self, name: str, passed: bool | None, text: str, numbers: dict[str, Any]) -> None:
        self._entries.append({"name": name, "passed": passed, "text": text, "numbers": numbers})
        print(f"{ {True: 'PASS', False: 'FAIL', None: '    '}[passed] }  {name}: {text}", flush=True)

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed, with their parts."""
        return [
            f"{part}: {entry['name']}"
            for part, content in self.parts.items()
            for entry in content["checks"]
            if entry["passed"] is False
        ]


def seconds_of(work: Callable[[], object], synchronise: Callable[[], None], repeats: int = 3) -> float:
    """The shortest of a few runs, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        synchronise()
        started = time.perf_counter()
        work()
        synchronise()
        times.append(time.perf_counter() - started)
    return min(times)
