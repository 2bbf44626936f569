"""Database records of the training floor."""

from training.models.pool import (
    CHUNK_ROWS,
    SYNTHESIZE_DATA,
    SyntheticJob,
    SyntheticSource,
    TrainingDataPool,
)
from training.models.versions import (
    LIVED,
    MODEL_GATE,
    OUTCOME_GATE,
    TRIAL_GATE,
    VERDICT_WORDS,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    TrainingEpisode,
    VersionKind,
    VersionState,
    learned_kinds,
    says_nothing,
    version_name,
)

__all__ = [
    "CHUNK_ROWS",
    "LIVED",
    "MODEL_GATE",
    "OUTCOME_GATE",
    "SYNTHESIZE_DATA",
    "TRIAL_GATE",
    "VERDICT_WORDS",
    "GateVerdict",
    "ModelMetric",
    "ModelVersion",
    "SyntheticJob",
    "SyntheticSource",
    "TrainingDataPool",
    "TrainingEpisode",
    "VersionKind",
    "VersionState",
    "learned_kinds",
    "says_nothing",
    "version_name",
]
