"""Whether the worker outlives the terminal: lingering, KillUserProcesses; whether one came by ssh."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from pathlib import Path

from workbench.doctor.finding import Check, Finding, ok, warning

_LOGIND = [Path("/etc/systemd/logind.conf"), Path("/usr/lib/systemd/logind.conf"), Path("/lib/systemd/logind.conf")]
_SECONDS = 3


def staying() -> list[Finding]:
    """systemd ends a user's processes at the last logout where it is configured to, unless the user lingers."""
    if not Path("/run/systemd/system").is_dir():
        return [ok("after logout", "nothing ends the worker when you log out (no systemd here)")]
    kills = kill_user_processes(_config_files())
    lingers = _lingers()
    if not kills:
        return [ok("after logout", "the worker stays when you log out (KillUserProcesses is off)")]
    if lingers:
        return [ok("after logout", "the worker stays when you log out (you linger)")]
    detail = "KillUserProcesses is on: the worker ends at your last logout, and its running step with it"
    return [warning("after logout", detail, "loginctl enable-linger, or work inside systemd-run --user --scope tmux")]


def kill_user_processes(files: list[Path]) -> bool:
    """What the configuration of logind says; a later file wins over an earlier one."""
    value = False
    for path in files:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        for match in re.finditer(r"^\s*KillUserProcesses\s*=\s*(\w+)", text, re.MULTILINE):
            value = match.group(1).lower() in ("yes", "true", "on", "1")
    return value


def _config_files() -> list[Path]:
    main = next((path for path in _LOGIND if path.exists()), None)
    folders = [Path("/usr/lib/systemd/logind.conf.d"), Path("/etc/systemd/logind.conf.d")]
    more = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.conf"))]
    return [*([main] if main else []), *more]


def _lingers() -> bool:
    user = getpass.getuser()
    if not shutil.which("loginctl"):
        return Path(f"/var/lib/systemd/linger/{user}").exists()
    try:
        process = subprocess.run(
            ["loginctl", "show-user", user, "--property=Linger"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return "Linger=yes" in process.stdout


def ssh() -> list[Finding]:
    """What happens when the ssh connection drops."""
    if not os.environ.get("SSH_CONNECTION"):
        return []
    within = "inside tmux" if os.environ.get("TMUX") else "inside screen" if os.environ.get("STY") else "directly"
    return [ok("ssh", f"{within}; if the line drops, the worker goes on and the session keeps what it finds")]


CHECKS: list[Check] = [staying, ssh]
