"""Messages between supervisor and child."""

import json
import os

import pytest

from codex_worker.job import channel as module
from codex_worker.job.channel import BadMessage, Channel, ChannelClosed


@pytest.fixture
def ends():
    (read_a, write_a), (read_b, write_b) = os.pipe(), os.pipe()
    first = Channel(os.fdopen(read_a, "rb"), os.fdopen(write_b, "wb"))
    second = Channel(os.fdopen(read_b, "rb"), os.fdopen(write_a, "wb"))
    yield first, second
    first.close()
    second.close()


def test_a_message_arrives_as_it_was_sent(ends):
    ends[0].send({"id": 1, "call": "read_files", "arguments": {"paths": ["ä\n.codex"]}})
    assert ends[1].receive() == {"id": 1, "call": "read_files", "arguments": {"paths": ["ä\n.codex"]}}


def test_the_end_of_the_other_side_is_none_and_sending_to_it_an_error(ends):
    ends[1].close()
    assert ends[0].receive() is None
    with pytest.raises(ChannelClosed):
        ends[0].send({})


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": object()}])
def test_what_is_no_json_is_not_sent(ends, value):
    with pytest.raises(BadMessage):
        ends[0].send(value)


@pytest.mark.parametrize("line", [b"{", b"[1]", b'{"x": NaN}', b"\xff", b"[" * 20_000])
def test_what_is_no_message_is_refused(ends, line):
    ends[0]._writer.write(line + b"\n")
    ends[0]._writer.flush()
    with pytest.raises(BadMessage):
        ends[1].receive()


def test_a_line_without_an_end_is_not_read_for_ever(ends, monkeypatch):
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 100)
    with pytest.raises(BadMessage, match="over the limit"):
        ends[0].send({"x": "y" * 200})
    ends[0]._writer.write(json.dumps({"x": "y" * 200}).encode())
    ends[0]._writer.flush()
    with pytest.raises(BadMessage, match="longer than"):
        ends[1].receive()


def test_half_a_message_of_a_killed_process_is_the_end(ends):
    ends[0]._writer.write(b'{"id": 1')
    ends[0].close()
    assert ends[1].receive() is None
