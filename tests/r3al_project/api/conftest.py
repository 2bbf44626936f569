"""What a web process keeps between requests is not carried from one test to the next, whose loops are others."""

from __future__ import annotations

import pytest

from deployments.services.serving import latency


@pytest.fixture(autouse=True)
def no_latencies_of_an_earlier_test() -> None:
    latency._counts.clear()
