import hashlib
import random
from pathlib import Path

import pytest

from tests.lab.server import Answer, serving
from workbench.errors import UserError
from workbench.lab.finding.download import DownloadRefused, check_sha256, fetch
from workbench.lab.progress import Meter, silent

BODY = random.Random(0).randbytes(3_000_000)


def test_a_cut_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with serving() as server:
        server.routes["/f"] = Answer(BODY, cuts=[1_000_000, 500_000])
        fetch(server.url + "/f", tmp_path / "f", len(BODY), "the file", silent)
        assert server.ranges("/f") == ["bytes=0-", "bytes=1000000-", "bytes=1500000-"]
    assert (tmp_path / "f").read_bytes() == BODY
    assert not (tmp_path / "f.part").exists()


def test_a_part_of_an_earlier_process_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY[:2_000_000])
    seen: list[float] = []
    with serving() as server:
        server.routes["/f"] = Answer(BODY)
        fetch(
            server.url + "/f", tmp_path / "f", len(BODY), "x", lambda _s, _d, fraction, _l: seen.append(fraction or 0)
        )
        assert server.ranges("/f") == ["bytes=2000000-"]
    assert (tmp_path / "f").read_bytes() == BODY
    assert seen[0] == pytest.approx(2 / 3)
    assert seen[-1] == 1
    assert seen == sorted(seen)


def test_a_server_without_ranges_starts_again(tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    with serving() as server:
        server.routes["/f"] = Answer(BODY, ranges=False)
        fetch(server.url + "/f", tmp_path / "f", len(BODY), "x", silent)
    assert (tmp_path / "f").read_bytes() == BODY


def test_more_than_was_promised_is_not_read(tmp_path: Path) -> None:
    with serving() as server:
        server.routes["/f"] = Answer(BODY, ranges=False)
        fetch(server.url + "/f", tmp_path / "f", 1000, "x", silent)
    assert (tmp_path / "f").read_bytes() == BODY[:1000]


def test_a_connection_that_keeps_breaking_keeps_what_has_come(tmp_path: Path) -> None:
    with serving() as server:
        server.routes["/f"] = Answer(BODY, cuts=[700_000] + [0] * 20)
        with pytest.raises(UserError, match=r"stopped at 700,000 of 3,000,000 bytes .* start again"):
            fetch(server.url + "/f", tmp_path / "f", len(BODY), "the file", silent)
    assert (tmp_path / "f.part").read_bytes() == BODY[:700_000]
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("status", [401, 403, 404, 407])
def test_refusals_are_for_the_other_way(tmp_path: Path, status: int) -> None:
    with serving() as server:
        server.routes["/f"] = Answer(status=status)
        with pytest.raises(DownloadRefused, match=str(status)):
            fetch(server.url + "/f", tmp_path / "f", 10, "x", silent)


def test_nobody_there(tmp_path: Path) -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(DownloadRefused):
        fetch(url + "/f", tmp_path / "f", 10, "x", silent)


def test_a_wrong_checksum_removes_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"good")
    check_sha256(file, hashlib.sha256(b"good").hexdigest(), "the file")
    with pytest.raises(UserError, match="the file has the wrong checksum .* was removed: start again"):
        check_sha256(file, hashlib.sha256(b"other").hexdigest(), "the file")
    assert not file.exists()


def test_seconds_left_count_only_what_this_run_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("workbench.lab.progress.time.monotonic", lambda: now[0])
    seen: list[tuple[float | None, float | None]] = []
    meter = Meter(lambda _s, _d, fraction, left: seen.append((fraction, left)), "downloading", "x", 1000, 500)
    now[0] += 10
    meter.at(600)
    assert seen == [(0.5, None), (0.6, 40.0)]
