from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "deployments"
    label = "deployments"
    verbose_name = "Deployments"

    def ready(self) -> None:
        """Register what the Trust Vault covers of this floor."""
        import deployments.services.rollouts.recorded_rollouts  # noqa: F401
