"""A real time-stamping authority on this machine: ``openssl ts`` behind a small web server, with a root of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.13762.3
digests = sha256
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[signs]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
"""


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def authority(folder: Path) -> Path:
    """Make the keys and certificates of an authority. Returns the root certificate."""
    folder.mkdir()
    config = folder / "tsa.cnf"
    config.write_text(_CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    key, root, tsa = ("-newkey", "rsa:2048", "-nodes"), folder / "root.pem", folder / "tsa.pem"
    openssl("req", "-x509", *key, "-keyout", folder / "root.key", "-out", root, "-subj", "/CN=root", "-days", "2")
    openssl("req", *key, "-keyout", folder / "tsa.key", "-out", folder / "tsa.csr", "-subj", "/CN=tsa")
    openssl(
        "x509", "-req", "-in", folder / "tsa.csr", "-CA", root, "-CAkey", folder / "root.key", "-CAcreateserial", "-out", tsa,
        "-days", "2", "-extfile", config, "-extensions", "signs",
    )  # fmt: skip
    return root


@contextmanager
def answering(folder: Path) -> Iterator[str]:
    """Let the authority in ``folder`` answer at the address that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query, reply = folder / "query.tsq", folder / "reply.tsr"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            openssl(
                "ts", "-reply", "-config", folder / "tsa.cnf", "-section", "here", "-queryfile", query, "-out", reply
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(reply.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa"
    finally:
        server.shutdown()
        server.server_close()
