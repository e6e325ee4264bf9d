"""How a command ends: every mistake is a sentence on stderr and an exit code, never a traceback.

0 done · 1 failed or lost · 2 wrong input · 130 cancelled
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import click

from workbench.errors import UserError

DONE, FAILED, WRONG, CANCELLED = 0, 1, 2, 130


_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""what the machine lacks: room, memory, a disk that works. Anything else is a mistake of ours"""


class PipeClosed(Exception):  # noqa: N818 - it is a signal, not an error
    """The reader of our output has closed the pipe. click would make exit code 1 of a BrokenPipeError."""


def guarded(action: Callable[[], Any]) -> int:
    """Runs `action` and says what went wrong, if anything. Returns the exit code."""
    try:
        result = action()
        sys.stdout.flush()
        return result if isinstance(result, int) else DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201 - a group alone: its help, as click has it
        return WRONG
    except click.UsageError as error:
        return complain(_usage(error), WRONG)
    except click.ClickException as error:
        return complain(error.format_message(), WRONG)
    except UserError as error:
        return complain(str(error), WRONG)
    except (KeyboardInterrupt, click.Abort):
        return CANCELLED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else DONE if error.code is None else FAILED
    except (BrokenPipeError, PipeClosed):
        # the interpreter must not try to flush what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.errno not in _MACHINE:
            return complain(_unexpected(error), FAILED)
        return complain(f"{error.filename or 'a file'} cannot be written or read: {error.strerror}", FAILED)
    except Exception as error:
        return complain(_unexpected(error), FAILED)


def complain(sentence: str, code: int) -> int:
    """Prints `workbench: sentence` on stderr, and returns `code`."""
    from workbench.text import safe

    try:
        print(f"workbench: {safe(sentence, newlines=True)}", file=sys.stderr)  # noqa: T201
    except UnicodeEncodeError:
        print(f"workbench: {sentence!a}", file=sys.stderr)  # noqa: T201
    except OSError:
        pass  # nobody listens
    return code


def _usage(error: click.UsageError) -> str:
    message = error.format_message()
    where = error.ctx.command_path if error.ctx else "workbench"
    return f"{message[:1].lower()}{message[1:].rstrip('.')} (see {where} --help)"


def _unexpected(error: Exception) -> str:
    """The sentence for a defect of ours; the traceback goes to a file."""
    from workbench.paths import runtime_dir

    kind = type(error).__name__
    text = "".join(traceback.format_exception(error))
    try:
        path = runtime_dir() / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, UserError):
        return f"an error of our own ({kind}: {error}); where it happened could not be written down"
    more = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    return f"an error of our own ({kind}: {error}); where it happened is written in {path}{more}"
