from django.apps import AppConfig


class TurnsConfig(AppConfig):
    name = "r3al_project.turns"
    label = "turns"
    verbose_name = "Turns"
