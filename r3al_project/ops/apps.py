from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "r3al_project.ops"
    label = "ops"
    verbose_name = "Operations"

    def ready(self) -> None:
        from r3al_project.ops.password_changes import watch_passwords

        watch_passwords()
