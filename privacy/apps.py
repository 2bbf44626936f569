from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    name = "privacy"
    label = "privacy"
    verbose_name = "Privacy"

    def ready(self) -> None:
        """Register what the Trust Vault records of the floor below."""
        import privacy.services.vault.recorded_loops  # noqa: F401
