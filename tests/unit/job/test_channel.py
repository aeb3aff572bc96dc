"""Messages between supervisor and child."""

import io
import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from codex_worker.errors import Kind, UserError
from codex_worker.job import channel as module
from codex_worker.job.api import JobContext
from codex_worker.job.channel import (
    Assignment,
    BadMessage,
    Channel,
    ChannelClosed,
    Computed,
    Heartbeat,
    LastWord,
)


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


@pytest.mark.parametrize(
    "message",
    [
        {"event": "heartbeat", "epochs_completed": "3"},
        {"event": "heartbeat", "epochs_completed": True},
        {"event": "heartbeat", "stage": 1},
        {"event": "heartbeat", "message": ["x"]},
    ],
)
def test_a_heartbeat_without_sense_is_refused(message):
    with pytest.raises(BadMessage):
        Heartbeat.of_message(message)


@pytest.mark.parametrize("audio_s", [None, "3", True, -1, float("inf"), float("nan"), 1e300, [1]])
def test_an_amount_of_audio_without_sense_is_refused(audio_s):
    with pytest.raises(BadMessage):
        Computed.of_message({"event": "computed", "audio_s": audio_s})


@pytest.mark.parametrize(
    ("given", "arrives"), [(2.5, 2.5), (0, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 0.0)]
)
def test_an_amount_of_audio_arrives_and_what_is_none_as_nothing(ends, given, arrives):
    ends[0].send(Computed(given).to_message())
    assert Computed.of_message(ends[1].receive()) == Computed(arrives)


@pytest.mark.parametrize(
    "message",
    [
        {"event": "result"},
        {"event": "result", "result": [1]},
        {"event": "failed"},
        {"event": "failed", "kind": "strange"},
    ],
)
def test_a_last_word_without_sense_is_refused(message):
    with pytest.raises(BadMessage):
        LastWord.of_message(message)


@pytest.mark.parametrize("epochs", ["1e400", "-1e400", "9" * 400, "9" * 5000, "123456789012345678901234"])
def test_epochs_without_end_cost_the_epochs_only(ends, epochs):
    line = (
        f'{{"event": "heartbeat", "epochs_completed": {epochs}, "message": "a\\u0000b", "stage": "\\ud800"}}'
    )
    ends[0]._writer.write(line.encode() + b"\n")
    ends[0]._writer.flush()
    assert Heartbeat.of_message(ends[1].receive()) == Heartbeat(None, "a\ufffdb", "\ufffd")


@pytest.mark.parametrize("epochs", [10**400, float("nan"), True, "many", object()])
def test_a_handler_that_gives_no_number_of_epochs_goes_on(ends, epochs):
    ends[0].send(Heartbeat(epochs, "halfway", "training").to_message())
    assert Heartbeat.of_message(ends[1].receive()) == Heartbeat(None, "halfway", "training")


@pytest.mark.parametrize(
    ("message", "is_taken"),
    [
        ({"id": 1, "call": "publish_cells", "arguments": "x" * 1_100_000}, True),
        ({"id": 1, "result": "x" * 1_100_000}, True),
        ({"id": 1, "call": "read_files", "arguments": "x" * 1_100_000}, False),
        ({"event": "heartbeat", "message": "x" * 1_100_000}, False),
        ({"event": "failed", "message": "x" * 1_100_000}, False),
    ],
)
def test_only_what_carries_results_may_be_longer_than_a_megabyte(message, is_taken):
    sent = io.BytesIO()
    if is_taken:
        Channel(io.BytesIO(), sent).send(message)
        assert Channel(io.BytesIO(sent.getvalue()), sent).receive() == message
        with pytest.raises(BadMessage, match="longer than"):
            Channel(io.BytesIO(sent.getvalue()), sent, max_line_bytes=1_000_000).receive()
        return
    with pytest.raises(BadMessage, match="over the limit"):
        Channel(io.BytesIO(), sent).send(message)
    with pytest.raises(BadMessage, match="over the limit"):
        Channel(io.BytesIO(json.dumps(message).encode() + b"\n"), sent).receive()


def test_an_entry_that_is_too_large_for_the_channel_is_the_users_to_mend(monkeypatch):
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    job = JobContext("j1", "asr", "t", "w", "tiny", "1-0a", "me", "Mark", "c0", Path("/j"), {"x": "y" * 1000})
    with pytest.raises(UserError, match="entry of job j1"):
        Assignment("handlers.x", job).to_message()


@pytest.mark.parametrize("epochs", [None, 0.0, 2.5])
def test_a_heartbeat_arrives_as_it_was_given(ends, epochs):
    beat = Heartbeat(epochs, "halfway", "training")
    ends[0].send(beat.to_message())
    assert Heartbeat.of_message(ends[1].receive()) == beat


def test_long_texts_of_a_child_are_cut_and_epochs_that_are_no_number_left_out():
    beat = Heartbeat.of_message(Heartbeat(float("nan"), "m" * 9999, "s" * 9999).to_message())
    assert beat == Heartbeat(None, "m" * 2000, "s" * 60)
    assert (
        LastWord.of_message(LastWord(kind=Kind.DATA, message="m" * 9999).to_message()).message == "m" * 2000
    )


@pytest.mark.parametrize(
    "word", [LastWord({"cells_written": 3}), LastWord(kind=Kind.MODEL, message="Diverged.")]
)
def test_a_last_word_arrives_as_it_was_said(ends, word):
    ends[0].send(word.to_message())
    assert LastWord.of_message(ends[1].receive()) == word


def test_an_order_arrives_as_it_was_given_with_dates_as_text(ends):
    config = {"job_id": "j1", "epochs": 3, "timeout": date(2026, 1, 2), "inference": {"cfg_scale": 3.0}}
    job = JobContext(
        "j1", "asr", "training", "w2v2bert", "tiny", "1-0a", "me", "Mark", "c0", Path("/jobs/j1"), config
    )
    ends[0].send(Assignment("handlers.asr.w2v2bert.training", job).to_message())
    arrived = Assignment.of_message(ends[1].receive())
    assert arrived.handler == "handlers.asr.w2v2bert.training"
    assert arrived.job == replace(job, config={**config, "timeout": "2026-01-02"})
