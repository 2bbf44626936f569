"""Decide whether a holdback is drawn anew each week. A fixed one of a few people can prove nothing."""

from __future__ import annotations

from training.models import ModelVersion

SMALL_LOOP = 2_000  # people


def holdback_rotates(version: ModelVersion) -> bool:
    """Tell whether the loop is small, by the largest noised head count that was already released for the version.

    Nothing new is said about people. Without such a count the holdback stays fixed.
    """
    counts = [release.noisy_users for release in version.releases.all() if release.noisy_users is not None]
    return bool(counts) and max(counts) < SMALL_LOOP
