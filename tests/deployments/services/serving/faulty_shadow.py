"""The platform's web application in which every shadow has a planted fault: ``FAULT`` says whether it raises or sleeps."""

from __future__ import annotations

import os
import time
from typing import Any

from r3al_project.rsgi import application

from deployments.engine.action_selection import choose_alone  # isort: skip  after Django's apps are loaded
from deployments.services.serving import shadow  # isort: skip

__all__ = ["application"]


def _faulty(policy: Any, *arguments: Any, **more: Any) -> Any:
    if os.environ["FAULT"] == "raises":
        raise ZeroDivisionError("a planted fault")
    time.sleep(float(os.environ["SLEEP_SECONDS"]))
    return choose_alone(policy, *arguments, **more)


setattr(shadow, "choose_alone", _faulty)  # noqa: B010  a planted fault has other types
