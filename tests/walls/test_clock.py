"""Services ask ``core.clock`` for the time, so that months can be lived in minutes. A few things need the machine's own time."""

from __future__ import annotations

import re

from tests.system import ROOT
from tests.walls.source import modules

_MACHINE = re.compile(r"timezone\.now\b|datetime\.now\b|utcnow|date\.today|\bNow\(\)|auto_now|time\.time\(")
_OWN_TIME = {
    "core.clock",  # is set back from it
    "core.model_base",  # names the option that it fills from the clock
    "jobs.admin",  # shows how long a job ran by the machine's clock
    "jobs.beat_scheduler",
    "jobs.folder_broker",
    "jobs.leases",
    "jobs.periodic_runs",
    "jobs.services",
    "notices.services.by_hand",  # deliveries are retried and signed in the receiver's time
    "notices.services.deliver",
    "notices.services.endpoints",
    "notices.services.send_out",
    "privacy.services.people.authentication",  # tokens and logins end by the machine's clock
    "privacy.services.vault.anchors",  # the witness outside has its own time
    "r3al_project.api.http.login_limits",
    "r3al_project.ops.demo",
    "r3al_project.ops.expired_logins",
    "r3al_project.turns.services",  # the seconds of a stage are those of its job
}
_PRODUCT = ("core", "jobs", "loops", "notices", "privacy", "training", "deployments", "r3al_project")


def test_only_what_needs_the_machines_time_reads_it() -> None:
    found = {
        name
        for name, path in modules(ROOT)
        if name.split(".")[0] in _PRODUCT and ".migrations." not in name and _MACHINE.search(path.read_text("utf-8"))
    }
    assert found == _OWN_TIME
