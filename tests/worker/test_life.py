"""A worker's life: starting, sharing, going idle, dying; its socket, its log and its fronts."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from tests.conftest import processes_of
from tests.worker.conftest import LAB, ROOT, Open, ask_for, row, until, until_row
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.worker import main as control_main
from workbench.worker import start
from workbench.worker.client import WorkerSpec, connect, list_workers, log_path, run_step, stop_workers
from workbench.worker.protocol import Attach, Done, Hello, Refused, Request, Status, Stop, Welcome, WorkerStatus
from workbench.worker.wire import LENGTH, decode, encode, read_frame
from workbench.worker.worker_files import WorkerFiles, worker_files


async def test_stages_and_seconds_left(worker: Open) -> None:
    client = await worker("fake:slow")
    seen: list[WorkerStatus] = []
    client.on_event = lambda event: seen.append(event)
    status = await until(client, lambda status: status.stage == "ready")
    assert status.info.name == "fake"
    assert status.memory > 1e6
    assert status.free == 5 << 30
    loading = next(event for event in seen if event.stage == "loading")
    assert (loading.detail, loading.fraction, loading.seconds_left) == ("loading nothing", 0.5, None)
    await stop_workers()
    again = await worker("fake:slow")
    status = await until(again, lambda status: status.stage == "loading")
    assert 0.5 < status.seconds_left < 3


async def test_steps_can_be_queued_before_the_model_is_there(worker: Open, session: str) -> None:
    client = await worker("fake:slow")
    step = (await client.request(ask_for(session, "x"))).step
    assert row(session, step).status == "queued"
    await until_row(session, step, "done")


async def test_starting_at_once_makes_one_worker(worker: Open) -> None:
    clients = await asyncio.gather(*(worker() for _ in range(4)))
    assert len({client.status.pid for client in clients}) == 1
    assert [status.pid for status in list_workers()] == [clients[0].status.pid]


async def test_no_worker_and_none_wanted(own_folders: Path) -> None:
    with pytest.raises(UserError, match="no worker runs"):
        await connect(WorkerSpec("fake"), start=False)
    with pytest.raises(UserError, match="no worker with the process number 1"):
        await stop_workers(pid=1)
    with pytest.raises(UserError, match="written a log"):
        log_path()
    assert list_workers() == []


async def test_a_worker_that_cannot_start(own_folders: Path) -> None:
    (own_folders / "settings.toml").write_text("nonsense = 1\n")
    with pytest.raises(UserError, match=r"could not be started.*nonsense"):
        await connect(WorkerSpec("fake"), options=(LAB,))


async def test_idle_it_ends(worker: Open, session: str) -> None:
    client = await worker("fake", "--idle-seconds=0.5")
    await run_step(client, ask_for(session, "wait:1.5"))  # work is not idle
    async with asyncio.timeout(15):
        await client.closed.wait()
    with pytest.raises(UserError, match="the worker is gone"):
        await client.request(Status())


async def test_stop_when_idle_is_refused_while_busy(worker: Open, session: str) -> None:
    client = await worker()
    step = (await client.request(ask_for(session, "wait:1000"))).step
    await until_row(session, step, "running")
    with pytest.raises(UserError, match="busy"):
        await stop_workers(when="idle")
    queued = (await client.request(ask_for(session, "x"))).step
    assert await stop_workers(pid=client.status.pid) == [client.status.pid]
    for number in (step, queued):
        assert (row(session, number).status, row(session, number).error) == (
            "cancelled",
            "the worker was stopped before it was done",
        )
    assert not list(Path(session).parent.glob("a.db-*"))


async def test_sigterm_ends_it_cleanly(worker: Open, session: str) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    step = (await client.request(ask_for(session, "batches:1000:0.02"))).step
    await until_row(session, step, "running")
    os.kill(status.pid, signal.SIGTERM)
    async with asyncio.timeout(10):
        await client.closed.wait()
    assert await asyncio.to_thread(start.wait_gone, worker_files(WorkerSpec("fake")))
    assert row(session, step).status == "cancelled"
    assert "Traceback" not in log_path(WorkerSpec("fake")).read_text()
    assert not worker_files(WorkerSpec("fake")).socket.exists()


async def test_kill_9_of_the_control_process(worker: Open, session: str, own_folders: Path) -> None:
    client = await worker()
    status = await until(client, lambda status: status.stage == "ready")
    running = asyncio.create_task(run_step(client, ask_for(session, "stuck")))
    await until(client, lambda status: bool(status.jobs))
    await until_row(session, 1, "running")
    os.kill(status.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="before step 1 was done"):
        await running
    assert client.closed.is_set()
    async with asyncio.timeout(10):
        while processes_of(own_folders / "run"):  # the model process ends too, stuck as it is
            await asyncio.sleep(0.02)
    with SessionReader(session) as reader:
        assert reader.row(1).status == "lost"
    again = await worker()  # the stale socket is in the way of nobody
    await again.request(Attach(session=session))
    assert "run it again" in row(session, 1).error
    await run_step(again, ask_for(session, "x"))


async def test_another_model_sends_idle_workers_away_and_leaves_busy_ones(worker: Open, session: str) -> None:
    busy, idle = await worker("fake:busy"), None
    await busy.request(ask_for(session, "wait:1000"))
    idle = await worker("fake:idle")
    await until(idle, lambda status: status.stage == "ready")
    await worker("fake:third")
    async with asyncio.timeout(5):
        await idle.closed.wait()
    assert {status.model for status in list_workers()} == {"fake:busy", "fake:third"}


async def test_a_terminal_gets_its_pipe_back(own_folders: Path) -> None:
    """`ssh host workbench run … | cat` ends when the command does, though the worker lives on."""
    code = (
        "import asyncio\n"
        "from workbench.worker.client import *\n"
        f"c = asyncio.run(connect(WorkerSpec('fake'), options=({LAB!r},)))\n"
        "print(c.status.pid)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # as a careless parent does
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        pass_fds=[writing],
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    os.set_blocking(reading, False)
    assert os.read(reading, 10) == b""  # nobody holds the other end
    pid = int(done.stdout)
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == str(log_path())
    assert await stop_workers() == [pid]


# --- sockets --------------------------------------------------------------------------------------------------


def listening(path: Path, mode: int = 0o600) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.bind(str(path))
    found.listen()
    path.chmod(mode)
    return found


async def test_a_stale_socket_is_replaced(worker: Open) -> None:
    path = worker_files(WorkerSpec("fake")).socket
    listening(path).close()
    assert path.exists()
    client = await worker()
    assert client.status.pid


@pytest.mark.parametrize("how", ["mode", "owner", "file"])
async def test_a_foreign_socket_is_refused(own_folders: Path, how: str) -> None:
    path = worker_files(WorkerSpec("fake")).socket
    if how == "file":
        path.write_text("no socket")
    else:
        found = listening(path, 0o666 if how == "mode" else 0o600)
        if how == "owner":
            if os.getuid():
                pytest.skip("only root can give a socket away")
            os.chown(path, 65534, 65534)
    with pytest.raises(UserError, match="not yours alone|something else"):
        await connect(WorkerSpec("fake"), options=(LAB,))
    assert list_workers() == []
    if how != "file":
        found.close()


async def test_a_foreign_folder_is_refused(own_folders: Path) -> None:
    (own_folders / "run").chmod(0o755)
    with pytest.raises(UserError, match="mode 700"):
        await connect(WorkerSpec("fake"))
    (own_folders / "run").chmod(0o700)


async def test_another_users_worker_is_refused(own_folders: Path, monkeypatch) -> None:
    found = listening(worker_files(WorkerSpec("fake")).socket)
    monkeypatch.setattr("workbench.worker.worker_files.peer_uid", lambda _: 12345)
    with pytest.raises(UserError, match="another user"):
        await connect(WorkerSpec("fake"))
    found.close()


# --- another version -------------------------------------------------------------------------------------------


class OldWorker:
    """Speaks only what never changes, as version 0.0.1."""

    def __init__(self, files: WorkerFiles, busy: bool) -> None:
        self.files, self.busy = files, busy
        self.stopped = asyncio.Event()

    async def __aenter__(self) -> OldWorker:
        self.life = self.files.life_lock.open("a+")
        fcntl.flock(self.life, fcntl.LOCK_EX)
        self.server = await asyncio.start_unix_server(self.serve, sock=listening(self.files.socket))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.life.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                message = decode(await read_frame(reader), Request)
            except (EOFError, UserError):
                break
            match message:
                case Hello():
                    answer = Welcome(version="0.0.1", protocol=0, pid=os.getpid())
                case Stop():
                    answer = Refused(reason="busy") if self.busy else Done()
                case _:
                    answer = WorkerStatus(pid=os.getpid(), version="0.0.1", stage="ready")
            answer.id = message.id
            writer.write(encode(answer))
            await writer.drain()
            if isinstance(message, Stop) and not self.busy:
                self.server.close()
                self.files.socket.unlink()
                self.life.close()
                self.stopped.set()
                break
        writer.close()


async def test_an_idle_worker_of_another_version_is_replaced(worker: Open) -> None:
    async with OldWorker(worker_files(WorkerSpec("fake")), busy=False) as old:
        client = await worker()
        assert old.stopped.is_set()
        assert client.welcome.version != "0.0.1"


async def test_a_busy_worker_of_another_version_is_a_sentence(worker: Open) -> None:
    async with OldWorker(worker_files(WorkerSpec("fake")), busy=True):
        with pytest.raises(UserError, match=f"another version .0.0.1, process {os.getpid()}. is at work"):
            await worker()
        assert [status.version for status in await asyncio.to_thread(list_workers)] == ["0.0.1"]


async def test_a_request_of_the_future_is_refused_with_a_sentence(worker: Open) -> None:
    client = await worker()
    body = msgspec.msgpack.encode({"type": "dance", "id": 77})
    answer = asyncio.get_running_loop().create_future()
    client._waiting[77] = answer
    client._writer.write(LENGTH.pack(len(body)) + body)
    assert "does not understand the request 'dance'" in (await asyncio.wait_for(answer, 5)).reason
    await client.request(Status())


# --- the rest ----------------------------------------------------------------------------------------------


def test_the_log_stays_small(own_folders: Path, monkeypatch) -> None:
    files = WorkerFiles(own_folders / "run" / "x.sock")
    files.log.write_text("a\n" * 100)
    control_main.rotate(files)
    assert files.log.stat().st_size == 200
    monkeypatch.setattr(control_main, "MAX_LOG", 100)
    with files.log.open("a") as output:
        control_main.rotate(files)
        output.write("next")
    assert files.log.read_text() == "next"
    assert files.log.with_suffix(".log.1").stat().st_size == 100


def test_folders_are_named_the_same_from_anywhere(own_folders: Path, monkeypatch) -> None:
    (own_folders / "model").mkdir()
    monkeypatch.chdir(own_folders)
    assert (
        worker_files(WorkerSpec("./model"))
        == worker_files(WorkerSpec("model"))
        == worker_files(WorkerSpec(f"{own_folders}/model"))
    )
    assert WorkerSpec("org/name").canonical().model == "org/name"
    assert WorkerSpec("").canonical() == WorkerSpec()
    assert worker_files(WorkerSpec("org/name")) != worker_files(WorkerSpec("org/name", dtype="float16"))


@pytest.mark.parametrize("module", ["workbench.worker.control", "workbench.worker.main", "workbench.worker.client"])
def test_nothing_heavy_is_imported(module: str) -> None:
    code = (
        f"import sys, {module}, workbench.session.schema, workbench.session.writer\n"
        "from workbench.experiments import experiments; experiments()\n"
        "print({'torch', 'transformers', 'transformer_lens', 'pandas', 'datasets', 'textual'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_client_does_not_import_what_is_slow() -> None:
    code = "import sys, workbench.worker.client\nprint({'sqlite_utils', 'pandas', 'hypothesis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_hold_of_the_fake_model_is_one() -> None:
    """The tool of the ping test: other threads of that process really stand still."""
    turns = []
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: [turns.append(time.monotonic()) or time.sleep(0.001) for _ in iter(stop.is_set, True)]
    )
    thread.start()
    before = time.monotonic()
    ctypes.PyDLL(None).usleep(300_000)
    after = time.monotonic()
    stop.set()
    thread.join()
    assert sum(before + 0.01 < turn < after - 0.01 for turn in turns) <= 1
