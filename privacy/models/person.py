"""People, identified only by a keyed digest of the identifier that the app or an imported file uses."""

from __future__ import annotations

from django.db import models

from core.model_base import Created

FOLDS = 10_000
VIEW_PEOPLE = "privacy.view_person"
SERVE_PEOPLE = "privacy.serve_people"


class Person(Created):
    """One privacy unit. Loops of one population share their people, and so their budgets.

    ``key`` is HMAC-SHA-256(salt, population, normalised identifier); the identifier itself is not stored. ``first_key`` is the
    key of a person who was first known by another spelling. The Trust Vault commits to it instead of ``key``.
    ``fold`` is a keyed hash in [0, 10000). People below ``evaluation_share * 10000``, if a loop
    declares one, evaluate candidates and never train one.
    After erasure only this row, the budget and the ledger entries stay, and ``key`` becomes a tombstone. The tombstone is a
    digest that recognises a person who registers again, so that their caps do not start afresh. ``last_erased_at`` then stays,
    so that no file brings back what was erased.
    """

    population = models.CharField(max_length=80)
    key = models.CharField(max_length=64)
    first_key = models.CharField(max_length=64, blank=True, default="", db_default="")
    fold = models.PositiveSmallIntegerField()
    erased_at = models.DateTimeField(null=True, blank=True)
    seal = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Keyed digest of this row, for the Trust Vault."
    )
    last_erased_at = models.DateTimeField(
        null=True, blank=True, help_text="Last erasure, also of a person who registered again since."
    )

    class Meta:
        db_table = "persons"
        verbose_name_plural = "people"
        permissions = [("serve_people", "Can act for people: register them, decide for them, report outcomes")]
        constraints = [
            models.UniqueConstraint(fields=["population", "key"], name="person_unique"),
            models.CheckConstraint(condition=models.Q(fold__lt=FOLDS), name="person_fold_in_range"),
        ]
        indexes = [models.Index(fields=["population", "fold"])]

    def __str__(self) -> str:
        return f"person {self.pk}"
