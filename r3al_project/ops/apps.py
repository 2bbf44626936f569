from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "r3al_project.ops"
    label = "ops"
    verbose_name = "Operations"
