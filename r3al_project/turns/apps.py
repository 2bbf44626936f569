from django.apps import AppConfig


class TurnsConfig(AppConfig):
    name = "r3al_project.turns"
    label = "turns"
    verbose_name = "Turns"

    def ready(self) -> None:
        """Register what the Trust Vault covers of turns, and the doors of acts that need a second operator."""
        import r3al_project.turns.guarded_acts
        import r3al_project.turns.recorded_turns  # noqa: F401
