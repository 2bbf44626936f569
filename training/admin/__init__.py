"""Admin pages of the training floor; importing the package registers them."""

from training.admin import pool, versions

__all__ = ["pool", "versions"]
