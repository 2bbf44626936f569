"""Names the queues that workers take messages from. Standard library only: settings and process commands import it."""

from __future__ import annotations

DEFAULT = "default"
PRIVACY = "privacy"
TRAIN = "train"
MONITOR = "monitor"  # tasks that are due every minute, such as rollbacks, so that they never wait behind long jobs
NOTICES = "notices"  # what waits for other machines to answer, so that nothing else waits for them
QUEUES = (DEFAULT, PRIVACY, TRAIN, MONITOR, NOTICES)
