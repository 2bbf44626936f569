"""Messages in a folder: whole or absent, received once, and never the end of a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from django.conf import settings as django_settings
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError

from jobs.folder_broker import FolderChannel, messages_dropped
from jobs.services import job_enqueue, jobs_reconcile
from tests.jobs.conftest import JobsWorker
from tests.stack import Stack
from tests.system import ROOT

TRANSPORT = "jobs.folder_broker:FolderTransport"
UNREADABLE = [
    b"", b"{", b"\xff\xfe", b"null", b"[]", b"3", b"{}", b'{"properties": {}}', b'{"properties": {"delivery_tag": "t"}}',
    b'{"properties": {"delivery_tag": "t", "delivery_info": {"exchange": "q"}}, "body": "AA=="}',
    b'{"properties": {"delivery_tag": "t", "body_encoding": "base64"}, "body": "!"}',
]  # fmt: skip


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {
        "data_folder_in": str(tmp_path / "messages"), "data_folder_out": str(tmp_path / "messages"),
        "control_folder": str(tmp_path / "control"), "polling_interval": 0.01,
    }  # fmt: skip


@pytest.fixture
def connection(options: dict[str, Any]) -> Iterator[Connection]:
    with Connection("filesystem://", transport=TRANSPORT, transport_options=options) as connection:
        yield connection


@pytest.fixture
def channel(connection: Connection) -> FolderChannel:
    channel = connection.default_channel
    assert isinstance(channel, FolderChannel)
    return channel


def message(channel: FolderChannel, body: str) -> dict[str, Any]:
    prepared: dict[str, Any] = channel.prepare_message(body, content_type="text/plain", content_encoding="utf-8")
    prepared["properties"] |= {
        "delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "q", "routing_key": "q"}
    }  # fmt: skip
    return prepared


def body_of(channel: FolderChannel, payload: dict[str, Any]) -> str:
    text: str = channel.Message(payload, channel=channel).decode()
    return text


def files(tmp_path: Path) -> list[str]:
    return [path.name for folder in ("messages", "control") for path in (tmp_path / folder).iterdir()]


def test_messages_arrive_once_and_in_order(channel: FolderChannel, tmp_path: Path) -> None:
    for body in ("one", "two", "three"):
        channel._put("q", message(channel, body))
    channel._put("other", message(channel, "four"))
    assert channel._size("q") == 3
    assert [body_of(channel, channel._get("q")) for _ in range(3)] == ["one", "two", "three"]
    with pytest.raises(Empty):
        channel._get("q")
    assert channel._size("other") == 1


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_message_that_cannot_be_read_is_dropped_and_counted(
    content: bytes, channel: FolderChannel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "messages" / f"{0:020d}_deadly.q.msg").write_bytes(content)
    channel._put("q", message(channel, "alive"))
    assert body_of(channel, channel._get("q")) == "alive"
    assert messages_dropped(tmp_path / "control") == 1
    assert "dropped a message of queue q that cannot be read" in caplog.text
    assert not [name for name in files(tmp_path) if name.endswith(".msg")]


def test_a_disk_that_is_full_leaves_nothing_and_says_so(channel: FolderChannel, tmp_path: Path) -> None:
    """The kernel refuses each byte, as on a full disk; the file itself it creates."""
    script = """
import json, resource, sys
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
refused = 0
with Connection("filesystem://", transport=sys.argv[1], transport_options=json.loads(sys.argv[2])) as connection:
    channel = connection.default_channel
    for act in (lambda: channel._put("q", {"properties": {}}), lambda: channel._queue_bind("x", "", "", "q")):
        try:
            act()
        except ChannelError:
            refused += 1
print(refused)
"""
    options = channel.transport_options
    run = subprocess.run(
        [sys.executable, "-c", script, TRANSPORT, json.dumps(options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "2\n"
    assert files(tmp_path) == ["lock"]


def test_a_table_that_cannot_be_read_is_made_anew(channel: FolderChannel, tmp_path: Path) -> None:
    (tmp_path / "control" / "x.exchange").write_bytes(b"")
    assert channel.get_table("x") == []
    channel._queue_bind("x", "a", "", "q")
    channel._queue_bind("x", "a", "", "q")
    channel._queue_bind("x", "b", "", "r")
    assert sorted(channel.get_table("x")) == [("a", "", "q"), ("b", "", "r")]
    channel._delete("q", "x", "a", "")
    assert channel.get_table("x") == [("b", "", "r")]


def test_what_a_killed_process_left_half_written_goes_after_a_minute(
    connection: Connection, channel: FolderChannel, tmp_path: Path
) -> None:
    old, new = (tmp_path / "messages" / f".{name}.q.msg.partial" for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 61,) * 2)
    connection.channel()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_is_away_is_an_empty_one(channel: FolderChannel, tmp_path: Path) -> None:
    (tmp_path / "messages").rmdir()
    with pytest.raises(Empty):
        channel._get("q")
    with pytest.raises(ChannelError):
        channel._put("q", message(channel, "lost"))


def test_that_the_folder_is_away_is_told_once_and_again_after_it_was_back(
    channel: FolderChannel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker looks many times a second."""
    for _ in range(2):
        (tmp_path / "messages").rmdir()
        for _ in range(3):
            with pytest.raises(Empty):
                channel._get("q")
        (tmp_path / "messages").mkdir()
        with pytest.raises(Empty):
            channel._get("q")
    assert caplog.text.count("cannot be read") == 2


def test_each_message_has_one_receiver_among_processes(channel: FolderChannel, options: dict[str, Any]) -> None:
    count = 200
    for number in range(count):
        channel._put("q", message(channel, str(number)))
    script = """
import json, sys
from queue import Empty
from kombu import Connection
with Connection("filesystem://", transport=sys.argv[1], transport_options=json.loads(sys.argv[2])) as connection:
    channel = connection.default_channel
    try:
        while True:
            print(channel.Message(channel._get("q"), channel=channel).decode())
    except Empty:
        pass
"""
    command = [sys.executable, "-c", script, TRANSPORT, json.dumps(options)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    received = [int(line) for process in both for line in process.communicate(timeout=60)[0].split()]
    assert sorted(received) == list(range(count))


def test_one_exchange_feeds_every_queue_that_is_bound(connection: Connection) -> None:
    exchange = Exchange("news", type="fanout")
    queues = [Queue(name, exchange)(connection.default_channel) for name in ("one", "two")]
    for queue in queues:
        queue.declare()
    connection.Producer(exchange=exchange).publish("heard")
    received = [queue.get(no_ack=True) for queue in queues]
    assert [message.payload for message in received if message is not None] == ["heard", "heard"]


@pytest.mark.embedded
@pytest.mark.django_db(transaction=True)
def test_a_worker_survives_the_messages_of_an_hour_of_full_disk(
    workers: Callable[..., JobsWorker], stack: Stack
) -> None:
    options = django_settings.CELERY_BROKER_TRANSPORT_OPTIONS
    before = messages_dropped(Path(options["control_folder"]))
    for number in range(660):
        (Path(options["data_folder_in"]) / f"{number:020d}_dead.default.msg").touch()
    worker = workers()
    job = job_enqueue(kind="test.steps", arguments={"seconds": 0})

    def done() -> bool:
        jobs_reconcile()
        job.refresh_from_db()
        return job.state == "done"

    worker.wait_until(done)
    assert job.attempts == 1 and worker.is_running
    assert messages_dropped(Path(options["control_folder"])) - before == 660
