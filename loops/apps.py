from django.apps import AppConfig


class LoopsConfig(AppConfig):
    name = "loops"
    label = "loops"
    verbose_name = "Loops"
