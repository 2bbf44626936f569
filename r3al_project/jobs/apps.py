from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "r3al_project.jobs"
    label = "jobs"
    verbose_name = "Jobs"
