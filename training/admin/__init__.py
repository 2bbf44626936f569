"""Register the admin pages of the training floor when this package is imported."""

from training.admin import pool, versions

__all__ = ["pool", "versions"]
