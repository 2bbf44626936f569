from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    label = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        """Register what the Trust Vault covers of this floor."""
        import training.services.recorded_versions  # noqa: F401
