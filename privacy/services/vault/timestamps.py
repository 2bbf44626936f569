"""Let a time-stamping authority (RFC 3161) sign the end of the Trust Vault's chain, and check its stored answers.

An answer proves to anybody that the head existed at its time. Whoever owns the database and the keys cannot make another.
``openssl ts -verify`` reads the same files.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.x509 import load_pem_x509_certificates
from django.conf import settings

from core.atomic_files import bytes_write
from core.errors import Conflict
from privacy.models import VaultCheck, VaultEvent

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse, Verifier, VerifierBuilder

_SECONDS, _LARGEST = 10, 1 << 20
_SUFFIX = ".tsr"


def head_timestamp(check: VaultCheck) -> None:
    """Have the head of a check signed, and store the answer in ``VAULT_TSA_FOLDER``. A head that has one is not asked for again.

    Raises OSError when the authority cannot be reached or the answer cannot be written, and Conflict for an answer that does not
    verify.
    """
    target = Path(settings.VAULT_TSA_FOLDER) / f"{check.sequence}{_SUFFIX}"
    if target.exists():
        return
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerifierBuilder

    asked = TimestampRequestBuilder().data(check.head.encode()).hash_algorithm(HashAlgorithm.SHA256).build()
    answer = _post(settings.VAULT_TSA_URL, asked.as_bytes())
    _verified(_with_roots(VerifierBuilder.from_request(asked)), answer, check.head)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    bytes_write(target, answer)


def timestamps_differences() -> Iterator[str]:
    """Compare the chain with every stored answer. Returns a sentence for the first that the chain contradicts."""
    folder = Path(settings.VAULT_TSA_FOLDER) if settings.VAULT_TSA_URL else None
    if folder is None or not folder.is_dir():
        return
    from rfc3161_client import VerifierBuilder

    verifier = _with_roots(VerifierBuilder())
    for path in sorted(folder.glob(f"*{_SUFFIX}"), key=lambda p: (len(p.name), p.name)):
        number = path.stem
        head = VaultEvent.objects.filter(sequence=int(number) if number.isdecimal() else 0).values_list("hash").first()
        if head is None:
            yield f"the chain has lost event {number}, of which VAULT_TSA_FOLDER holds a time stamp"
            return
        try:
            _verified(verifier, path.read_bytes(), head[0])
        except (Conflict, OSError) as error:
            yield f"the time stamp in VAULT_TSA_FOLDER does not fit event {number}: {error}"
            return


def _with_roots(builder: VerifierBuilder) -> Verifier:
    for root in load_pem_x509_certificates(Path(settings.VAULT_TSA_ROOTS).read_bytes()):
        builder = builder.add_root_certificate(root)
    return builder.build()


def _verified(verifier: Verifier, answer: bytes, head: str) -> TimeStampResponse:
    """Return a decoded answer about ``head``. Raises Conflict for one that is damaged, untrusted or about another head."""
    from rfc3161_client import VerificationError, decode_timestamp_response

    try:
        decoded = decode_timestamp_response(answer)
        verifier.verify_message(decoded, head.encode())
    except (VerificationError, ValueError) as error:
        raise Conflict(f"the answer of the time-stamping authority cannot be trusted ({error})") from None
    return decoded


def _post(url: str, asked: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    request = urllib.request.Request(url, data=asked, headers=headers, method="POST")  # noqa: S310 (http or https, by settings)
    with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
        body: bytes = response.read(_LARGEST)
        return body
