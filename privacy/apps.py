from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    name = "privacy"
    label = "privacy"
    verbose_name = "Privacy"

    def ready(self) -> None:
        """Register what the Trust Vault records of the floor below, and the doors of acts that need a second operator."""
        import privacy.services.anonymize.guarded_release
        import privacy.services.approvals.declarations
        import privacy.services.budget.guarded_caps
        import privacy.services.vault.recorded_loops  # noqa: F401
