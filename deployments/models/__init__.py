"""Records of the deployments floor."""

from deployments.models.experiment import AbExperiment
from deployments.models.slot import Deployment, DeploymentState, ServingSlot, Strategy

__all__ = ["AbExperiment", "Deployment", "DeploymentState", "ServingSlot", "Strategy"]
