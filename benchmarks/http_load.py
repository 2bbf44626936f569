"""Generate HTTP load over several connections from one process, so cheaply that the client is not the bottleneck.

``python -m benchmarks.http_load FILE``: the file contains host, port, path, connections, seconds of warm-up and measurement, and
requests ([token or null, JSON body]). Each connection sends its next request when the last one is answered (a closed loop).
The last line is JSON: number of answers by status, their latencies in ms, seconds, and this process's CPU seconds.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SELECT_SECONDS = 30.0  # a server that is silent for this long has failed


class Connection:
    """Manage one keep-alive connection with at most one outstanding request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        """Send a request and record the time."""
        self._received, self.sent_at = b"", time.perf_counter()
        self.socket.sendall(request)

    def status(self) -> int | None:
        """Receive data, and return the HTTP status once the answer is complete, else None."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise SystemExit("the server closed a connection; see its log")
        self._received += chunk
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            is_complete = body.endswith(b"0\r\n\r\n")
        else:
            length = lower.split(b"content-length:")[1].split(b"\r\n")[0]
            is_complete = len(body) >= int(length)
        return int(head[9:12]) if is_complete else None


def http_requests(plan: dict[str, Any]) -> Iterator[bytes]:
    """Yield the encoded requests in an endless cycle."""
    start = f"POST {plan['path']} HTTP/1.1\r\nHost: {plan['host']}:{plan['port']}\r\nContent-Type: application/json\r\n"
    ready = [
        (start + (f"Authorization: Token {token}\r\n" if token else "") + f"Content-Length: {len(body)}\r\n\r\n" + body).encode()
        for token, body in plan["requests"]
    ]  # fmt: skip
    while True:
        yield from ready


def load(plan: dict[str, Any]) -> dict[str, Any]:
    """Send requests until the time is over. Answers during the warm-up are not counted."""
    requests, chooser = http_requests(plan), selectors.DefaultSelector()
    for _ in range(plan["connections"]):
        connection = Connection((plan["host"], plan["port"]))
        chooser.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(requests))
    statuses, latencies, outstanding = Counter[int](), list[float](), plan["connections"]
    began = time.perf_counter() + plan["warm_up"]
    end, cpu = began + plan["seconds"], 0.0
    while outstanding:
        for key, _ in chooser.select(_SELECT_SECONDS) or _fail_silent():
            connection = key.data
            status = connection.status()
            if status is None:
                continue
            now = time.perf_counter()
            if connection.sent_at >= began:
                cpu = cpu or time.process_time()
                statuses[status] += 1
                latencies.append((now - connection.sent_at) * 1e3)
            if now < end:
                connection.send(next(requests))
            else:
                chooser.unregister(connection.socket)
                outstanding -= 1
    return {
        "statuses": statuses,
        "latencies": latencies,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
    }


def _fail_silent() -> list[Any]:
    raise SystemExit(f"the server was silent for {_SELECT_SECONDS:g} s; see its log")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(load(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))) + "\n")
