"""Requests for tables of synthetic rows, and the release that they are made from."""

from __future__ import annotations

from jobs.services import job_run
from loops.models import LoopVersion
from privacy.models import Release
from tests.factories.anonymize import MARGINALS, run
from training.models import SyntheticJob
from training.selectors.synthetic import synthetic_get
from training.services.synthetic.requests import SynthesizeRequest, synthesize_enqueue

ASKED = SynthesizeRequest(method="mixture", samples=600, source_rows=1_200, threshold=0.0)


def marginals_released(version: LoopVersion, key: str = "marginals") -> Release:
    return run(version, MARGINALS, key)


def synthesized(version: LoopVersion, request: SynthesizeRequest = ASKED) -> SyntheticJob:
    """The job of a request, carried out in this process."""
    made = synthesize_enqueue(loop_version=version, request=request)
    assert made.job_id is not None
    job_run(made.job_id)
    return synthetic_get(made.pk)
