"""Admin pages of the privacy floor. Importing the package registers them."""

from privacy.admin import people, records, releases, vault

__all__ = ["people", "records", "releases", "vault"]
