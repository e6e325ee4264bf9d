"""Framing: any pieces, garbage, frames too long, raw bytes after a message."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import UserError
from workbench.report import Progress
from workbench.worker.messages import Drop, FromModel, Published, Run, Started, ToModel, ViewHead, size_after
from workbench.worker.protocol import MAX_FRAME, Note, Reply, Request, Status, Submit
from workbench.worker.wire import LENGTH, FrameError, Parser, Pipe, PipeClosed, decode, encode, frame_length, read_frame

text = st.text(st.characters(exclude_categories=["Cs"]))
requests = st.one_of(
    st.builds(Status, id=st.integers(0, 2**31)),
    st.builds(Note, session=text, step=st.none() | st.integers(0, 9), text=text),
    st.builds(
        Submit,
        session=text,
        experiment=text,
        params=st.dictionaries(text, text | st.integers(-9, 9)),
        seed=st.integers(0, 9),
    ),
)


def feed(parser: Parser, data: bytes, sizes: list[int]) -> list:
    found = []
    at = 0
    sizes = [*sizes, len(data)]
    while at < len(data):
        room = parser.room()
        count = max(1, min(len(room), sizes.pop(0) if sizes else len(data), len(data) - at))
        room[:count] = data[at : at + count]
        at += count
        message = parser.received(count)
        if message:
            found.append((message[0], bytes(message[1])))
    return found


@given(st.lists(requests, max_size=6), st.lists(st.integers(1, 7), max_size=200))
def test_any_pieces(messages: list, sizes: list[int]) -> None:
    data = b"".join(map(encode, messages))
    assert [message for message, _ in feed(Parser(Request), data, sizes)] == messages


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50)), max_size=5), st.lists(st.integers(1, 9)))
def test_raw_bytes_after_a_message(parts: list, sizes: list[int]) -> None:
    data = b""
    for spec, array in parts:
        data += encode(Started(job=1, after=(len(spec), len(array)))) + spec + array
    found = feed(Parser(FromModel, size_after), data, sizes)
    assert [after for _, after in found] == [spec + array for spec, array in parts]


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(1, 9)))
def test_garbage_is_an_error_or_not_yet_whole(data: bytes, sizes: list[int]) -> None:
    try:
        feed(Parser(Request, limit=1000), data, sizes)
    except FrameError as error:
        assert "the other side" in str(error)


def test_long_frames_are_refused_before_they_are_read() -> None:
    with pytest.raises(FrameError, match="announced"):
        frame_length(LENGTH.pack(MAX_FRAME + 1))
    with pytest.raises(FrameError, match="announced"):
        feed(Parser(Request, limit=10), LENGTH.pack(11), [])
    with pytest.raises(FrameError, match="bytes of arrays"):
        feed(Parser(FromModel, size_after, limit=100), encode(Started(job=1, after=(101,))), [])
    with pytest.raises(FrameError, match="bytes of arrays"):
        feed(Parser(FromModel, size_after, limit=100), encode(Started(job=1, after=(-5,))), [])


def test_deep_nesting_is_no_crash() -> None:
    with pytest.raises(FrameError):
        decode(b"\x91" * 100_000, Request)


def test_what_is_no_unicode_is_a_sentence() -> None:
    with pytest.raises(UserError, match="UTF-8"):
        encode(Note(session="a", text="\ud800"))


async def test_the_end_between_frames_and_within_one() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode(Status(id=3)) + b"\0\0")
    reader.feed_eof()
    assert decode(await read_frame(reader), Request) == Status(id=3)
    with pytest.raises(FrameError):
        await read_frame(reader)
    reader = asyncio.StreamReader()
    reader.feed_eof()
    with pytest.raises(EOFError):
        await read_frame(reader)


def test_the_blocking_end() -> None:
    ours, theirs = socket.socketpair()
    pipe: Pipe = Pipe(theirs, ToModel)
    assert pipe.receive(wait=False) == []
    first, second = Drop(job=1), Run(job=2, experiment="predict", params={}, edits=[])
    ours.sendall(encode(first) + encode(second) + encode(first)[:3])
    assert pipe.receive(wait=True) == [first, second]
    assert pipe.receive(wait=False) == []
    pipe.send(Started(job=1, after=(3,)), [b"abc"])
    assert ours.recv(1000).endswith(b"abc")
    ours.close()
    with pytest.raises(PipeClosed):
        pipe.receive(wait=True)


def test_an_update_out_of_a_message() -> None:
    message = Published(
        job=1,
        part=0,
        headline="h",
        scalars={},
        progress=Progress(),
        remarks=[],
        next_steps=[],
        views=[ViewHead("a", 0, "text", "t", ())],
        arrays=[],
        after=(2,),
    )
    update = message.update(memoryview(b"{}"))
    assert update.views.views[0].spec == b"{}"


@given(requests)
def test_old_and_new_understand_each_other(message) -> None:
    body = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    assert decode(msgspec.msgpack.encode(body | {"field_of_the_future": [1, 2]}), Request) == message
    with pytest.raises(FrameError):
        decode(msgspec.msgpack.encode(body | {"type": "unheard"}), Reply)
