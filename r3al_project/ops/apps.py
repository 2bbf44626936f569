from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "r3al_project.ops"
    label = "ops"
    verbose_name = "Operations"

    def ready(self) -> None:
        """Watch passwords, and register what the Trust Vault covers of webhooks."""
        import r3al_project.ops.recorded_webhooks  # noqa: F401
        from r3al_project.ops.password_changes import watch_passwords

        watch_passwords()
