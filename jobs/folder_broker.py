"""Carry Celery's messages in a folder. A message is whole or absent, and one that cannot be read stops no worker.

kombu's own file transport writes messages in place. A full disk then leaves empty files, and each of them ends the worker that
reads it. Here a message is written beside its place and renamed. The process that deletes a message's file has received it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)

DROPPED = "dropped"  # file in the control folder, with one byte for each message that could not be read
_PARTIAL = ".partial"
_PARTIAL_SECONDS = 60.0  # a process that has not renamed its message by then was killed
_Table = list[filesystem.exchange_queue_t]


def messages_dropped(control_folder: Path) -> int:
    """Return how many unreadable messages the workers have dropped."""
    try:
        return (control_folder / DROPPED).stat().st_size
    except OSError:
        return 0


class FolderChannel(filesystem.Channel):
    """Put messages into a folder and take them out."""

    _is_away = False  # whether the folder could not be read the last time, which is told once

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for folder in (self._messages, self.control_folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(OSError):
            self._remove_partial()

    @property
    def _messages(self) -> Path:
        return Path(self.data_folder_in)

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override]  # as kombu's
        """Write a message. Raises ChannelError, after which nothing of it is left."""
        _replace(self._messages / f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg", payload)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the oldest readable message. Raises Empty."""
        for path in self._waiting(queue):
            content = _taken(path)
            if content is None:
                continue
            try:
                return self._message(content)
            except Exception as error:  # whatever a wrong message makes the decoders raise
                self._drop(queue, error)
        raise Empty

    def _waiting(self, queue: str) -> list[Path]:
        try:
            paths = sorted(self._messages.iterdir())
        except OSError as error:
            if not self._is_away:
                log.warning("the folder of messages cannot be read (%s)", type(error).__name__)
            self._is_away = True
            raise Empty from None
        self._is_away = False
        return [path for path in paths if path.name.partition(".")[2] == f"{queue}.msg"]

    def _message(self, content: bytes) -> dict[str, Any]:
        """Return a message that this channel can deliver. Raises whatever reading it raises."""
        payload: dict[str, Any] = loads(content.decode())
        message = self.Message(payload, channel=self)
        if not isinstance(message.delivery_info, dict):
            raise TypeError("a message without delivery_info")
        message.delivery_info["exchange"], message.delivery_info["routing_key"]
        return payload

    def _drop(self, queue: str, error: Exception) -> None:
        """Count a message that cannot be read, and log no part of it."""
        with contextlib.suppress(OSError), (self.control_folder / DROPPED).open("ab") as file:
            file.write(b".")
        log.warning("dropped a message of queue %s that cannot be read (%s)", queue, type(error).__name__)

    def _remove_partial(self) -> None:
        """Remove what a killed process left half written."""
        oldest = time.time() - _PARTIAL_SECONDS
        for folder in (self._messages, self.control_folder):
            for path in folder.glob(f".*{_PARTIAL}"):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        path.unlink()

    # Which queues an exchange feeds is a file of its own, which several processes change.

    def get_table(self, exchange: str) -> _Table:  # type: ignore[override]  # named tuples
        """Return the bindings of an exchange. An unreadable table is as good as none: each consumer adds its binding again."""
        file = self._table_file(exchange)
        try:
            return [filesystem.exchange_queue_t(*row) for row in loads(file.read_text())]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ChannelError(f"Cannot read {file} ({error.strerror})") from error
        except (ValueError, TypeError):
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self._change_table(exchange, lambda rows: rows if row in rows else [row, *rows])

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        row = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self._purge(queue)
        self._change_table(exchange, lambda rows: [other for other in rows if other != row])

    def _table_file(self, exchange: str) -> Path:
        """Return the file of an exchange's bindings. Raises ChannelError for a name that would leave the folder."""
        file: Path = self._exchange_file(exchange)  # type: ignore[attr-defined]  # the stubs leave it out
        return file

    def _change_table(self, exchange: str, change: Callable[[_Table], _Table]) -> None:
        file = self._table_file(exchange)
        with self._table_lock():
            before = self.get_table(exchange)
            after = change(before)
            if after != before:
                _replace(file, after)

    @contextlib.contextmanager
    def _table_lock(self) -> Iterator[None]:
        try:
            descriptor = os.open(self.control_folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ChannelError(f"Cannot lock {self.control_folder} ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class FolderTransport(filesystem.Transport):
    """The transport that ``CELERY_BROKER_TRANSPORT`` names."""

    Channel = FolderChannel


def _taken(path: Path) -> bytes | None:
    """Return a message's content and delete it, or None when another worker was faster or the file cannot be taken."""
    try:
        content = path.read_bytes()
        path.unlink()
    except OSError:
        return None
    return content


def _replace(path: Path, content: Any) -> None:
    """Write a file whole, or leave it as it was. Raises ChannelError."""
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(dumps(content))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ChannelError(f"Cannot write {path} ({error.strerror})") from error
