"""Admin pages of the privacy floor. Importing the package registers them."""

from privacy.admin import approvals, people, records, releases, vault

__all__ = ["approvals", "people", "records", "releases", "vault"]
