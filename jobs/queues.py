"""Names the queues that workers take messages from. Standard library only: settings and process commands import it."""

from __future__ import annotations

DEFAULT = "default"
PRIVACY = "privacy"
TRAIN = "train"
MONITOR = "monitor"  # what is due every minute, and rollbacks with it: never behind a job that takes long
QUEUES = (DEFAULT, PRIVACY, TRAIN, MONITOR)
