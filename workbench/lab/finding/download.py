"""Files over HTTP that go on where they stopped, and are what they should be or are not kept."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from workbench.errors import UserError
from workbench.lab.progress import Meter, StageListener

BLOCK = 1 << 20
_ATTEMPTS = 5
_TIMEOUT = 30.0
"""seconds without a byte"""


class DownloadRefused(Exception):  # noqa: N818 - the caller takes another way
    """The address does not answer a plain request: credentials, certificates, a proxy of its own."""


def sha256_of(file: Path) -> str:
    """The file's SHA-256 as hex, read in blocks."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_sha256(file: Path, expected: str, label: str) -> None:
    """Removes the file and raises UserError where its content is not the expected one."""
    actual = sha256_of(file)
    if actual != expected:
        file.unlink()
        raise UserError(
            f"{label} has the wrong checksum (SHA-256 {actual[:12]}…, expected {expected[:12]}…) and was removed: "
            f"start again; if it stays wrong, the package index or a proxy serves another file"
        )


def fetch(url: str, target: Path, size: int, label: str, progress: StageListener) -> None:
    """Download `url` to `target` through `target.part`; a part that is there is gone on with.

    `size` in bytes is known beforehand: more is never read. Raises DownloadRefused where the address can't be
    used, UserError where the connection keeps breaking (what has come is kept).
    """
    part = target.with_name(target.name + ".part")
    if part.exists() and part.stat().st_size > size:
        part.unlink()
    meter = Meter(progress, "downloading", label, size, part.stat().st_size if part.exists() else 0)
    failures = 0
    while (have := part.stat().st_size if part.exists() else 0) < size:
        try:
            _fetch_rest(url, part, have, size, meter)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DownloadRefused(f"HTTP {error.code}") from None
            reason = f"HTTP {error.code}"
        except urllib.error.URLError as error:
            # A certificate or a name that fails at the first byte will fail again.
            if not have or isinstance(error.reason, ssl.SSLError):
                raise DownloadRefused(str(error.reason)) from None
            reason = str(error.reason)
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        else:
            reason = "the connection closed early"
        now = part.stat().st_size if part.exists() else 0
        failures = 0 if now > have else failures + 1
        if now < size and failures >= _ATTEMPTS:
            raise UserError(
                f"{label} stopped at {now:,} of {size:,} bytes ({reason}): "
                f"what has come is kept, start again to go on from there"
            )
    os.replace(part, target)


def _fetch_rest(url: str, part: Path, have: int, size: int, meter: Meter) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-", "User-Agent": "workbench"})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_certificates()))
    with opener.open(request, timeout=_TIMEOUT) as answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with part.open("ab" if goes_on else "wb") as stream:
            done = have if goes_on else 0
            while done < size and (block := answer.read(min(BLOCK, size - done))):
                stream.write(block)
                done += len(block)
                meter.at(done)


def _certificates() -> ssl.SSLContext:
    """The system's certificates and those that the user's other tools were given."""
    context = ssl.create_default_context()
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if (path := os.environ.get(name)) and Path(path).is_file():
            context.load_verify_locations(path)
    return context
