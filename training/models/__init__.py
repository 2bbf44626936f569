"""Records of the training floor."""

from training.models.pool import CHUNK_ROWS, SyntheticJob, TrainingDataPool
from training.models.registry import (
    GateVerdict,
    ModelMetric,
    ModelVersion,
    TrainingEpisode,
    VersionKind,
    VersionState,
)

__all__ = [
    "CHUNK_ROWS",
    "GateVerdict",
    "ModelMetric",
    "ModelVersion",
    "SyntheticJob",
    "TrainingDataPool",
    "TrainingEpisode",
    "VersionKind",
    "VersionState",
]
