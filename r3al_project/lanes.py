"""Share the web process's threads out, so that one kind of request cannot take them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_LOGINS = ("/api/v1/auth/login", "/admin/login/")
_ACCOUNTS = ("/admin/auth/user/", "/admin/password_change/")


class LaneFull(Exception):
    """Report that too many requests of this kind wait already."""


class Lane:
    """Run calls in a few threads of their own. At most ``most`` run and wait at once. Used from one event loop."""

    def __init__(self, name: str, *, threads: int, most: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most, self._taken = most, 0

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Return what ``work`` returns. Raises LaneFull."""
        if self._taken >= self._most:
            raise LaneFull
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._taken -= 1


class Lanes:
    """The lanes of one web process.

    Hashing a password takes a third of a second on purpose, so the requests that do it share one thread. The address that says
    whether the process is alive has a thread of its own, and needs no database.
    """

    def __init__(self) -> None:
        self._common = Lane("requests", threads=4, most=512)
        self._passwords = Lane("passwords", threads=1, most=16)
        self._alive = Lane("alive", threads=1, most=64)

    def of(self, method: str, path: str) -> Lane:
        """Return the lane of a request."""
        if path == "/healthz":
            return self._alive
        return self._passwords if method == "POST" and hashes_password(path) else self._common


def hashes_password(path: str) -> bool:
    """Return whether a POST to this address may hash a password."""
    return path in _LOGINS or path.startswith(_ACCOUNTS)
