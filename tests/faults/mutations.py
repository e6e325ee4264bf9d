"""Files with bytes changed, cut, doubled or replaced by what hurts: each is read, or refused with a sentence."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from safetensors.numpy import save

from tests.artifacts.test_activations import EXAMPLES
from tests.artifacts.test_activations import fill as fill_store
from tests.artifacts.test_activations import head as store_head
from tests.faults.things import labelled, look_at, numbers, some_probe, write_sae_files, write_step
from tests.index.synthetic import make
from tests.session.conftest import INFO, every_view
from workbench.artifacts import Artifact, list_artifacts
from workbench.artifacts._folder import write_folder
from workbench.artifacts.activations import Store, open_store, stores_dir, write_store
from workbench.artifacts.data_set import keep_set, read_data
from workbench.artifacts.direction import read_direction_file
from workbench.artifacts.probe import from_content
from workbench.artifacts.sae import stored_config
from workbench.cli import main
from workbench.errors import UserError
from workbench.index.reader import NeuronIndex
from workbench.index.store import describe, verify
from workbench.session.writer import SessionWriter

NASTY = (
    b"[" * 50_000, b"\xff\xfe", b"1e999", b'"\xed\xa0\x80"', b"null", b"-1", b"9" * 400, b"\0" * 64, b"{}", b"[]",
    b"\x1b]0;x\x07", b"\xe2\x80\xae", b'{"$array": "x"}', b"NaN",
)  # fmt: skip


def mutated(chance: random.Random, data: bytes) -> bytes:
    """One to thirty changes of one kind or several."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 30])):
        at = chance.randrange(len(changed) + 1)
        length = chance.choice([1, 1, 2, 8, 100, 4096])
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at : at + length] = chance.randbytes(length)
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                other = chance.randrange(len(changed) + 1)
                changed[at : at + length] = changed[other : other + length]
            case 5:
                changed[at:at] = chance.choice(NASTY)
    return bytes(changed)


class Mutations:
    """Samples of every kind of file, made once in `folder`, and what reads each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mutations"
        self.folder.mkdir()
        self.kinds = (self.session, self.session_by_command, self.stored_text, self.direction, self.data_set)
        self.kinds += (self.sae, self.index, self.store, self.exported, self.probe)
        self._session = self._made_session()
        self._index = make(self.folder / "indexes", n_layers=2, d_mlp=8)
        self._sae = self.folder / "sae"
        self._sae.mkdir()
        write_sae_files(self._sae, 0)
        self._set = keep_set(labelled(7), "to-mutate")
        write_store(store_head(), fill_store)
        self._store = stores_dir() / store_head().name
        shutil.copytree(self._store, self.folder / "store")
        root = self.folder / "heads"
        self._head = Path(write_folder(root, Artifact(kind="model", name="a", hash=""), _one_file).path)

    def one(self, chance: random.Random) -> None:
        chance.choice(self.kinds)(chance)

    def session(self, chance: random.Random) -> None:
        file = self._written("a.db", mutated(chance, self._session))
        _read_or_refused(lambda: look_at(file))

    def session_by_command(self, chance: random.Random) -> None:
        file = self._written("a.db", mutated(chance, self._session))
        words = ["show", str(file), *chance.choice([[], ["1"], ["--json"], ["1", "--json"]])]
        _command(words)

    def stored_text(self, chance: random.Random) -> None:
        """A whole file whose texts were changed: what a crafted session is."""
        import sqlite3

        file = self._written("a.db", self._session)
        table, column = chance.choice(
            [("step", "params"), ("step", "scalars"), ("step", "progress"), ("step", "next_steps"), ("view", "spec"),
             ("model", "info"), ("edit", "spec"), ("artifact", "spec"), ("array", "shape"), ("step", "headline"),
             ("array_chunk", "data"), ("stack", "spec"), ("meta", "value")]
        )  # fmt: skip
        with sqlite3.connect(file) as database:
            for row, value in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                data = value if isinstance(value, bytes) else str(value).encode()
                changed: object = mutated(chance, data)
                if not isinstance(value, bytes) and isinstance(changed, bytes):
                    changed = changed.decode("utf-8", "replace")
                database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row))
        database.close()
        _read_or_refused(lambda: look_at(file))
        _command(["show", str(file), "1"])

    def direction(self, chance: random.Random) -> None:
        vector = numbers(3, 8)
        if chance.random() < 0.5:
            np.save(self.folder / "d.npy", vector)
            file = self._written("d.npy", mutated(chance, (self.folder / "d.npy").read_bytes()))
        else:
            data = save({"direction": vector}, metadata={"origin": "{}", "positive": '["a"]'})
            file = self._written("d.safetensors", mutated(chance, data))
        _read_or_refused(lambda: read_direction_file("d", file))

    def data_set(self, chance: random.Random) -> None:
        if chance.random() < 0.5:
            file = self._written("s.json", mutated(chance, self._set.read_bytes()))
        else:
            rows = "prompt,target\n" + "".join(f'"text {at}",{at % 2}\n' for at in range(20))
            file = self._written(f"s{chance.choice(['.csv', '.jsonl', '.tsv'])}", mutated(chance, rows.encode()))
        _read_or_refused(lambda: read_data(str(file)))

    def sae(self, chance: random.Random) -> None:
        folder = self._copied(self._sae)
        self._mutate_one(chance, folder)
        _read_or_refused(lambda: stored_config(folder))

    def index(self, chance: random.Random) -> None:
        folder = self._copied(self._index.parent) / self._index.name
        part = chance.choice([path for path in folder.parent.iterdir() if path.is_dir()])
        self._mutate_one(chance, part)
        describe(part)
        verify(part)

        def open_it() -> None:
            index = NeuronIndex.open(folder)
            index.card(1, 3)
            index.close()

        _read_or_refused(open_it)

    def store(self, chance: random.Random) -> None:
        """One of activations in its place, whose numbers a probe would read."""
        shutil.rmtree(self._store, ignore_errors=True)
        shutil.copytree(self.folder / "store", self._store)
        self._mutate_one(chance, self._store)
        list_artifacts()
        _command(["artifacts", *chance.choice([["list"], ["list", "--json"], ["show", self._store.name]])])

        def read() -> None:
            with store_head_opened() as store:
                for layer in store.head.layers:
                    store.layer(layer).sum()

        _read_or_refused(read)

    def exported(self, chance: random.Random) -> None:
        """Heads of artifacts in the folders that lists read."""
        from workbench.artifacts._folder import list_folders

        folder = self._copied(self._head)
        self._mutate_one(chance, folder)
        list_folders(folder.parent, "model")
        list_artifacts()

    def probe(self, chance: random.Random) -> None:
        import msgspec

        content = some_probe().content
        spec = mutated(chance, msgspec.json.encode(content.spec))
        array = np.frombuffer(mutated(chance, content.array.tobytes())[: 6 * 8].ljust(48, b"\0"), "<f8").reshape(3, 2)

        def read() -> None:
            from workbench.errors import JSON_ERRORS

            try:
                changed = msgspec.json.decode(spec, type=dict)
            except JSON_ERRORS:
                changed = content.spec
            from_content("p", msgspec.structs.replace(content, spec=changed, array=array))

        _read_or_refused(read)

    # --- inside ----------------------------------------------------------------------------------------

    def _made_session(self) -> bytes:
        path = self.folder / "whole.db"
        with SessionWriter(path) as writer:
            step = writer.add_step("predict", {"prompt": "The capital"})
            writer.start(step, INFO)
            writer.publish(step, headline="it says Paris", scalars={"kl": 0.5}, views=every_view())
            writer.finish(step, "done")
            write_step(writer)
            writer.note("a note", step)
            writer.keep_artifact(some_probe_use())
        return path.read_bytes()

    def _written(self, name: str, data: bytes) -> Path:
        file = self.folder / name
        for path in (file, file.with_name(name + "-wal"), file.with_name(name + "-shm")):
            path.unlink(missing_ok=True)
        file.write_bytes(data)
        return file

    def _copied(self, source: Path) -> Path:
        target = self.folder / "copy" / source.name
        shutil.rmtree(target.parent, ignore_errors=True)
        shutil.copytree(source, target)
        return target

    @staticmethod
    def _mutate_one(chance: random.Random, folder: Path) -> None:
        file = chance.choice([path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"])
        file.write_bytes(mutated(chance, file.read_bytes()))


def store_head_opened() -> Store:
    store = open_store(store_head(), EXAMPLES)
    if store is None:
        raise UserError("it is none any more: it would be taken again")
    return store


def some_probe_use():
    from workbench.artifacts import Use

    return Use(content=some_probe().content, name="p")


def _one_file(folder: Path) -> None:
    (folder / "x").write_text("x")


def _read_or_refused(read: Callable[[], object]) -> None:
    try:
        read()
    except UserError as sentence:
        assert str(sentence)


def _command(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert "an error of our own" not in result.stderr, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    assert result.exit_code in (0, 1, 2), result.exit_code
