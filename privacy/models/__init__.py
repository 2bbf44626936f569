"""Records of the privacy floor."""

from privacy.models.budget import LedgerEntry, PrivacyBudget
from privacy.models.consent import Consent, Purpose
from privacy.models.decision import Choice, Decision, RewardSignal
from privacy.models.imports import SignalImport
from privacy.models.person import Person
from privacy.models.release import Release, ReleaseRound, ReleaseState, Technique

__all__ = [
    "Choice",
    "Consent",
    "Decision",
    "LedgerEntry",
    "Person",
    "PrivacyBudget",
    "Purpose",
    "Release",
    "ReleaseRound",
    "ReleaseState",
    "RewardSignal",
    "SignalImport",
    "Technique",
]
