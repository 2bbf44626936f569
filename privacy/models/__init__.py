"""Django models of the privacy floor."""

from privacy.models.account import DeviceToken, PersonAccount
from privacy.models.approval import Approval, ApprovalState
from privacy.models.budget import LedgerEntry, PrivacyBudget
from privacy.models.consent import Consent, Purpose
from privacy.models.decision import Choice, Decision, RewardSignal
from privacy.models.imports import SignalImport
from privacy.models.keys import DataKey, ExportKey, MasterKeyVersion
from privacy.models.person import Person
from privacy.models.release import RefusalPermit, Release, ReleaseRound, ReleaseState
from privacy.models.served_decision import RewardEvent, ServedDecision, Unavailable
from privacy.models.serving_state import ServingState
from privacy.models.signal import Signal
from privacy.models.vault import VaultBatch, VaultCheck, VaultEvent, VaultHead, VaultKind

__all__ = [
    "Approval",
    "ApprovalState",
    "Choice",
    "Consent",
    "DataKey",
    "Decision",
    "DeviceToken",
    "ExportKey",
    "LedgerEntry",
    "MasterKeyVersion",
    "Person",
    "PersonAccount",
    "PrivacyBudget",
    "Purpose",
    "RefusalPermit",
    "Release",
    "ReleaseRound",
    "ReleaseState",
    "RewardEvent",
    "RewardSignal",
    "ServedDecision",
    "ServingState",
    "Signal",
    "SignalImport",
    "Unavailable",
    "VaultBatch",
    "VaultCheck",
    "VaultEvent",
    "VaultHead",
    "VaultKind",
]
