"""The terminal: size, colours, UTF-8, and what tmux does to keys and to copying."""

from __future__ import annotations

import locale
import os
import shutil
import subprocess
import sys

from workbench.doctor.finding import Check, Finding, ok, warning

_SECONDS = 2
_ESCAPE_WARNING = 50
"""milliseconds tmux waits after Esc, beyond which it is felt"""


def terminal_size() -> list[Finding]:
    if not sys.stdout.isatty():
        return [ok("terminal", "none here (output goes elsewhere): the command line works, the workbench prints")]
    columns, lines = shutil.get_terminal_size()
    if columns < 80 or lines < 24:
        detail = f"{columns} × {lines}"
        return [warning("terminal", detail, "80 × 24 is the least that everything fits in: make the window larger")]
    return [ok("terminal", f"{columns} × {lines}")]


def colours() -> list[Finding]:
    term, colorterm = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    if os.environ.get("NO_COLOR"):
        return [ok("colours", "none, as NO_COLOR asks; nothing is said by colour alone")]
    if term in ("", "dumb"):
        detail = f"TERM is {term or 'not set'}: no colours and no full screen"
        return [warning("colours", detail, "use a terminal that sets TERM, for example xterm-256color")]
    if colorterm in ("truecolor", "24bit"):
        return [ok("colours", f"24-bit ({term})")]
    if "256" in term or "direct" in term:
        more = "" if os.environ.get("TMUX") else "; the workbench asks the terminal for 24-bit ones as it starts"
        return [ok("colours", f"256 ({term}){more}")]
    cure = "works; TERM=xterm-256color gives more where the terminal can"
    return [warning("colours", f"16 ({term})", cure)]


def utf8() -> list[Finding]:
    encoding = sys.stdout.encoding or locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") == "utf8":
        return [ok("characters", "UTF-8")]
    cure = "export LC_ALL=C.UTF-8 (here, and AcceptEnv LC_* or the like on the way); until then plots are ASCII"
    return [warning("characters", f"{encoding}", cure)]


def tmux() -> list[Finding]:
    if not os.environ.get("TMUX") or not shutil.which("tmux"):
        return []
    return tmux_findings(_tmux_option("escape-time"), _tmux_option("set-clipboard"), _tmux_features())


def tmux_findings(escape_time: str, clipboard: str, features: str) -> list[Finding]:
    """From tmux's own options: milliseconds; on, external or off; what the terminal around it can."""
    findings: list[Finding] = []
    if "RGB" in features.split(","):
        findings.append(ok("tmux, colours", "24-bit colours reach the terminal"))
    elif features:
        cure = (
            "where the terminal has 24-bit ones: tmux set -as terminal-features ',*:RGB', the same line (without tmux) "
            "in ~/.tmux.conf, then detach and attach again"
        )
        findings.append(ok("tmux, colours", f"256 at most reach the terminal; {cure}"))
    if escape_time.isdecimal():
        wait = int(escape_time)
        if wait > _ESCAPE_WARNING:
            cure = "tmux set -s escape-time 10, and the same line (without tmux) in ~/.tmux.conf"
            findings.append(warning("tmux, Esc", f"waits {wait} ms after every Esc", cure))
        else:
            findings.append(ok("tmux, Esc", f"waits {wait} ms after Esc"))
    if clipboard == "on":
        findings.append(ok("tmux, copying", "set-clipboard is on: copying reaches your own clipboard where it may"))
    elif clipboard:
        cure = "tmux set -s set-clipboard on; until then, save views to files"
        findings.append(
            warning("tmux, copying", f"set-clipboard is {clipboard}: copying does not get out of tmux", cure)
        )
    return findings


def _tmux_option(name: str) -> str:
    return _tmux("show-options", "-sv", name)


def _tmux_features() -> str:
    return _tmux("display-message", "-p", "#{client_termfeatures}")


def _tmux(*words: str) -> str:
    try:
        process = subprocess.run(["tmux", *words], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return process.stdout.strip()


CHECKS: list[Check] = [terminal_size, colours, utf8, tmux]
