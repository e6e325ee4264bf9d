"""The fingerprint of a model that is open: read in a thread of its own, once, whoever asks first. No torch here."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from workbench.lab.finding.fingerprint import fingerprint, unread_bytes
from workbench.lab.finding.source import ModelSource


class Identity:
    """Reads the weights of `source` for their fingerprint, and says how far it is."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._reading: Future[str] | None = None
        self._total = self.unread = unread_bytes(source)
        """bytes"""

    def read(self) -> Future[str]:
        """The fingerprint, once it is known, or the UserError that reading ended with. Begins where nobody has yet.

        A reading that failed begins anew.
        """
        with self._lock:
            if self._reading is None or (self._reading.done() and self._reading.exception()):
                self._reading = Future()
                # A daemon: no process waits at its end for weights to be read.
                threading.Thread(target=self._run, args=(self._reading,), daemon=True).start()
            return self._reading

    def _run(self, reading: Future[str]) -> None:
        try:
            self._total = self.unread = unread_bytes(self.source)
            reading.set_result(fingerprint(self.source, self._at))
        except BaseException as error:  # it is raised where the result is asked for
            reading.set_exception(error)

    def _at(self, stage: str, detail: str, fraction: float | None, seconds_left: float | None) -> None:
        self.unread = round(self._total * (1 - (fraction or 0)))
