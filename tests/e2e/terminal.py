"""A real terminal (tmux with a server of its own) and a real ssh daemon on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.conftest import wait_until


class Terminal:
    """One tmux window that a test types into and reads from."""

    def __init__(self, folder: Path, width: int = 120, height: int = 40, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.socket = folder / "tmux"
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in ("TMUX", "NO_COLOR", "CI")},
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            **(env or {}),
        }
        self.width, self.height = width, height

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, command: str, cwd: Path) -> None:
        # A server of its own each time: one that was told to end may still hold its socket.
        self.socket = self.folder / f"tmux{len(list(self.folder.iterdir()))}"
        self._tmux(
            "new-session", "-d", "-s", "main", "-x", str(self.width), "-y", str(self.height), "-c", str(cwd),
            f"{command}; echo; echo left with $?; exec cat",
        )  # fmt: skip
        self._tmux("set-option", "-g", "escape-time", "0")

    def keys(self, *names: str) -> None:
        """tmux key names: `Enter`, `Escape`, `C-c`, `Down`; single characters are typed."""
        self._tmux("send-keys", "-t", "main", *names)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", "main", "-l", text)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "main")

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """The screen once it shows `text`."""
        last = ""

        def shows() -> str | None:
            nonlocal last
            last = self.screen()
            return last if text in last else None

        try:
            return wait_until(shows, seconds, repr(text))
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen shows:\n{last}") from None

    def wait_gone(self, text: str, seconds: float = 30) -> str:
        return wait_until(lambda: (screen := self.screen()) and text not in screen and screen, seconds, f"no {text!r}")

    def pid(self) -> int:
        return int(self._tmux("display-message", "-p", "-t", "main", "#{pane_pid}"))

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"], capture_output=True, env=self.env)


class Sshd:
    """sshd on a loopback port with a host key and a login key made for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        return shutil.which("sshd") or shutil.which("/usr/sbin/sshd")

    def start(self) -> None:
        program = self.program()
        assert program, "no sshd here"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        for name in ("host", "login"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        (self.folder / "authorized").write_text((self.folder / "login.pub").read_text())
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"PermitRootLogin prohibit-password\nPermitUserEnvironment no\nAcceptEnv WORKBENCH_* HF_* LC_*\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start as root without it
        self._process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(config)], stderr=(self.folder / "sshd.log").open("wb")
        )
        wait_until(self._answers, 10, "sshd")

    def _answers(self) -> bool:
        assert self._process and self._process.poll() is None, (self.folder / "sshd.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def command(self, remote: str, env: dict[str, str], tty: bool = True) -> list[str]:
        """The ssh command line that runs `remote` with these variables sent along."""
        return [
            "ssh", *(["-tt"] if tty else ["-T"]), "-p", str(self.port), "-i", str(self.folder / "login"),
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.folder}/known",
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
            *(word for name in env for word in ("-o", f"SendEnv={name}")),
            f"{getpass.getuser()}@127.0.0.1", remote,
        ]  # fmt: skip

    def drop_connections(self) -> None:
        """Cuts every open connection, as a lost line would: kills the daemon's children, not the client."""
        children = subprocess.run(
            ["pgrep", "-P", str(self._process.pid if self._process else 0)], capture_output=True, text=True
        ).stdout.split()
        for child in children:
            subprocess.run(["pkill", "-KILL", "-P", child])
            subprocess.run(["kill", "-KILL", child], capture_output=True)

    def close(self) -> None:
        if self._process:
            self.drop_connections()
            self._process.terminate()
            self._process.wait(10)
