"""Runs a judge whose life is tied to the process that started it; a program of its own, `guard.py FD PROGRAM …`.

FD is the reading end of a pipe whose other end that process alone holds. When it is gone, however it went, the pipe
closes, and the process group in which this was started is killed. The judge takes this process's place (exec), so that
its exit status and its process id are its own. No imports of ours: it has to start at once.
"""

from __future__ import annotations

import os
import signal
import sys

CANT_START = 127
"""exit status where there is no such program, as shells have it"""


def watch(end: int) -> None:
    """Waits for the pipe to close in a process that is no child of the judge, then ends the whole group."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    os.read(end, 1)  # nobody writes: it returns when the pipe closes
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    end, argv = int(sys.argv[1]), sys.argv[2:]
    watch(end)
    os.close(end)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"it can't be started: {error.strerror}\n")
        sys.exit(CANT_START)


if __name__ == "__main__":
    main()
