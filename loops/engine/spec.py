"""Define the loop specification: the frozen, validated record that a loop's TOML file is parsed into.

It holds everything public about a learning problem and nothing about a person: the observed features and their bounds, the
actions of each head, the composition of the reward, and how a file of logged decisions maps onto the loop.
Later stages read scales, clips and feature sets from this record only, so that no computation depends on one application.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from core.canonical_json import list_json
from core.durations import DAY, HOUR, WEEK
from core.errors import InputError
from loops.engine.heads import MAIN_HEAD, timing_head

Dynamics = Literal["learned", "drift", "since_intervention", "recent_load", "clock", "constant"]
NextState = Literal["next_row", "next_row_same_day", "next_available", "next_available_same_day"]
RewardAggregate = Literal["earliest", "latest", "sum", "mean"]
Silence = Literal["unknown", "harmless", "harmful"]
DecimalMark = Literal[".", ","]
DeployMode = Literal["automatic", "by hand"]  # whether a turn deploys what passed, or leaves it to an operator
BY_HAND: DeployMode = "by hand"
DEPLOY_MODES: tuple[DeployMode, ...] = get_args(DeployMode)
FirstTrial = Literal["always", "undecided"]
RolloutName = Literal["", "full_rollout", "canary", "ab_test", "shadow_test", "apprentice"]
WhenInsufficient = Literal["go_back", "accept", "extend"]
ROLLOUT_NAMES: tuple[RolloutName, ...] = get_args(RolloutName)[1:]
WHEN_INSUFFICIENT: tuple[WhenInsufficient, ...] = get_args(WhenInsufficient)
GuardedAct = Literal["override", "promotion", "epsilon", "cap"]  # acts for which a loop may ask for a second operator
GUARDED_ACTS: tuple[GuardedAct, ...] = get_args(GuardedAct)

DEFAULT_POPULATION = "people"  # of an installation whose loops declare none
KNOWN_DYNAMICS: frozenset[str] = frozenset({"since_intervention", "recent_load", "clock", "constant"})


@dataclass(frozen=True)
class Feature:
    """Describe one observed quantity: a number with ``bounds`` or a category with ``categories``, never both.

    ``scale`` is the public whitening constant of the one-step change (numbers with learned or drift dynamics).
    ``step`` belongs to ``since_intervention`` (growth per decision point), ``decay`` to ``recent_load``.
    In a state array a category is its index in ``categories``.
    ``bins`` (of a number) and ``parents`` (of each category) form the generalisation hierarchy of anonymised records.
    ``starts`` are the local times of day (HH:MM) at which each category of a clock begins. A clock that no app reports is
    computed from them. Equality ignores these three, because a trained model stays valid when they change.
    """

    name: str
    dynamics: Dynamics
    bounds: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()
    scale: float | None = None
    step: float | None = None
    decay: float | None = None
    bins: int = field(default=5, compare=False)
    parents: tuple[str, ...] = field(default=(), compare=False)
    starts: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_category(self) -> bool:
        """Return whether the feature is a category (otherwise it is a number)."""
        return bool(self.categories)

    @property
    def range(self) -> tuple[float, float]:
        """Return the lower and upper bound, or (0, 1) where none is declared, as for a category."""
        return self.bounds or (0.0, 1.0)


@dataclass(frozen=True)
class Head:
    """Describe one decision of the loop, for which a model is trained.

    ``logging`` is the constant exploration distribution, in the order of ``actions``.
    """

    name: str
    actions: tuple[str, ...]
    reference: str
    logging: tuple[float, ...]
    when: Literal["always", "intervening"] = "always"

    @property
    def reference_index(self) -> int:
        """Return the index of the reference action in ``actions``."""
        return self.actions.index(self.reference)

    @property
    def logged_rate(self) -> float:
        """Return the share of exploration draws that are not the reference action."""
        return 1.0 - self.logging[self.reference_index]


@dataclass(frozen=True)
class Reward:
    """Describe how outcomes become reward. ``scale`` is the public whitening constant of the total.

    ``default`` is the total of an available decision without any outcome. With None, such a decision is not used for training.
    ``silence`` says what an intervention without a label means. Unknown silence is no evidence of good.
    """

    scale: float
    weights: dict[str, float] = field(default_factory=dict)
    appropriateness: dict[str, str] = field(default_factory=dict)
    best_delay_seconds: dict[str, int] = field(default_factory=dict)
    delay_tolerance_seconds: int = HOUR
    deadline_seconds: int = DAY
    default: float | None = None
    aggregate: RewardAggregate = "earliest"
    harmful_labels: tuple[str, ...] = ()
    silence: Silence = "unknown"
    limit: float | None = None  # largest size of a total; None: what components allow, at least 20 times ``scale``
    stability_margin: float | None = None  # half-width of the reward-stability test; None: half of ``scale``


@dataclass(frozen=True)
class MomentsOptions:
    """Hold the public constants of the moments release. None means that the public rule in docs/decisions derives the value."""

    nominal_users: int | None = None
    nominal_decisions: int | None = None
    clips: dict[str, float] = field(default_factory=dict)  # block name -> L2 clip, overrides the null-user rule
    features: Literal["linear", "hinges"] | None = None


@dataclass(frozen=True)
class Availability:
    """Describe when no person may receive an intervention, whatever the policy. ``quiet_hours`` are the person's local times.

    ``distress`` maps a numeric feature to (low, high). A value at or below low, or at or above high, makes the person
    unavailable. A signal older than ``memory_seconds`` counts as unknown.
    """

    daily_cap: int | None = None
    cooldown_seconds: int = 0
    quiet_hours: tuple[str, str] | None = None
    distress: dict[str, tuple[float, float]] = field(default_factory=dict)
    memory_seconds: int = WEEK


@dataclass(frozen=True)
class DeclaredRollout:
    """Declare how a version of the loop is rolled out.

    ``strategy``: how a turn rolls out a policy by itself. Empty: a trial of a first or an undecided policy, otherwise at once.
    ``stages``: shares of the people that a canary serves one after the other, before everybody.
    ``dwell_weeks``: whole weeks that each stage lasts at least. None: 2, or 4 for fewer than 600 people.
    ``extensions``: how often a stage that proves too little is extended by as many weeks.
    ``when_insufficient``: how a rollout ends that has proved nothing by then. ``extend`` extends a stage that ran late, too.
    ``by_hand``: whether an operator approves each stage and the promotion.
    ``split``: the candidate's share of the people in an A/B test. ``weeks``: how long that test, a shadow test or an
    apprenticeship lasts.
    A loop that declares a shadow test has 1 week by default.
    """

    strategy: RolloutName = ""
    stages: tuple[float, ...] = (0.1, 0.5)
    dwell_weeks: int | None = None
    extensions: int = 3
    when_insufficient: WhenInsufficient = "go_back"
    by_hand: bool = False
    split: float = 0.5
    weeks: int = 4


@dataclass(frozen=True)
class DeclaredApprovals:
    """Declare which acts on the loop need a second operator.

    ``override``: starting a rollout against an objection. ``promotion``: promoting a version before its evidence says so.
    ``epsilon``: a release that asks for more than the default privacy parameters. ``cap``: raising the cap of a person's budget.
    ``days``: how long a request waits before it expires.
    """

    second_operator: tuple[GuardedAct, ...] = ()
    days: int = 7


@dataclass(frozen=True)
class ImportHead:
    """Name one head's columns in a file. With neither propensity column the head's logging distribution applies.

    ``propensity`` is the column of the probability of the action taken, or of the action ``propensity_of``.
    ``propensities`` names one column an action instead. ``transforms`` maps a propensity column to a function of the closed
    set in ``loops.engine.rows.transforms``, which gives a probability.
    """

    action: str
    propensity: str | None = None
    propensity_of: str | None = None
    propensities: dict[str, str] = field(default_factory=dict)
    transforms: dict[str, str] = field(default_factory=dict)

    @property
    def propensity_columns(self) -> tuple[str, ...]:
        """Return the columns of propensities, in no particular order. Empty where the logging distribution applies."""
        return (self.propensity,) if self.propensity else tuple(self.propensities.values())


@dataclass(frozen=True)
class ImportMap:
    """Map a file of logged decisions onto the loop. Values are column names of the file unless stated otherwise.

    ``key`` names the columns that identify a row. ``missing`` is "drop" or, per feature, the value that fills an empty cell.
    ``actions[head]`` maps values in the file to actions of the head. ``transforms`` maps a feature or ``reward`` to a
    function of the closed set in ``loops.engine.rows.transforms``. ``reward`` maps ``total`` or component names to columns.
    """

    user: str
    key: tuple[str, ...]
    time: str
    features: dict[str, str]
    heads: dict[str, ImportHead]
    reward: dict[str, str]
    missing: Literal["drop"] | dict[str, float | str] = "drop"
    next_state: NextState = "next_row_same_day"
    available: str | None = None
    explored: str | None = None
    label: str | None = None
    left: str | None = None  # a true value means that the person dropped out after this row
    time_zone: str | None = None  # the person's time zone: a name or an offset
    utc_offset: str | None = None  # minutes east of UTC, after its transform
    decimal: DecimalMark = "."
    transforms: dict[str, str] = field(default_factory=dict)
    actions: dict[str, dict[str, str]] = field(default_factory=dict)
    categories: dict[str, dict[str, str]] = field(default_factory=dict)  # feature -> value in the file -> category

    @property
    def time_columns(self) -> tuple[str, ...]:
        """Return the columns that a time is read from: the time, and the person's time zone or offset where declared."""
        return tuple(c for c in (self.time, self.time_zone, self.utc_offset) if c is not None)


@dataclass(frozen=True)
class LoopSpec:
    """Specify one learning problem. Loops with the same ``population`` share people and privacy budgets."""

    name: str
    version: int
    title: str
    population: str
    decisions_per_day: int
    features: tuple[Feature, ...]
    heads: tuple[Head, ...]
    reward: Reward
    imports: ImportMap
    moments: MomentsOptions = MomentsOptions()
    availability: Availability = Availability()
    # Share of people held out of training to evaluate candidates. With 0 everybody trains and judges, at half the budget each.
    evaluation_share: float = 0.0
    minimum_effect: float | None = (
        None  # declared smallest gain worth finding, in reward units; None: .1 of reward scale
    )
    exploration: float = 0.1  # share of served decisions drawn from ``logging``
    exploration_before: float = 1.0  # the exploration share until the loop has deployed a learned policy
    retrain_every_seconds: int | None = (
        None  # a turn starts automatically this long after the last one; None: turns are started by hand only
    )
    # Whether a first policy is tried on half of the people even if its gates passed, or only if they leave it undecided.
    trial: FirstTrial = "always"
    deploy: DeployMode = "automatic"  # by hand: a turn ends with its verdict, and an operator deploys
    rollout: DeclaredRollout = DeclaredRollout()
    approvals: DeclaredApprovals = DeclaredApprovals()
    logging_rounds: int = 2  # undecided turns after which ``exploration`` applies although nothing was deployed

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Return the feature names in the order of a state array."""
        return tuple(f.name for f in self.features)

    @cached_property
    def features_signature(self) -> bytes:
        """Return an 8-byte hash of the features' names, order, dynamics and ranges, to check that stored values still fit."""
        identity = [[f.name, f.dynamics, f.bounds, f.categories] for f in self.features]
        return hashlib.blake2b(list_json(identity), digest_size=8).digest()

    @cached_property
    def head_names(self) -> tuple[str, ...]:
        """Return the head names in the order of the loop file."""
        return tuple(h.name for h in self.heads)

    @cached_property
    def main_head(self) -> Head:
        """Return the head that decides whether to intervene (see ``loops.engine.heads``)."""
        return self.head(MAIN_HEAD)

    @cached_property
    def sub_heads(self) -> tuple[Head, ...]:
        """Return all heads except the main head, in the order of the loop file."""
        return tuple(h for h in self.heads if h.name != MAIN_HEAD)

    @cached_property
    def heads_main_first(self) -> tuple[Head, ...]:
        """Return all heads in the order in which they choose: the main head, then the sub-heads."""
        return (self.main_head, *self.sub_heads)

    @cached_property
    def timing_head(self) -> Head:
        """Return the head whose actions ``reward.best_delay_seconds`` refers to."""
        return self.head(timing_head(self.head_names))

    def feature(self, name: str) -> Feature:
        """Return the feature with this name, which must exist."""
        return next(f for f in self.features if f.name == name)

    def head(self, name: str) -> Head:
        """Return the head with this name.

        Raises: InputError that lists the loop's heads.
        """
        for head in self.heads:
            if head.name == name:
                return head
        raise InputError(f"loop {self.name!r} has no head {name!r}; it has {', '.join(self.head_names)}")

    def features_with(self, *dynamics: str) -> tuple[int, ...]:
        """Return the indices (columns of a state array) of the features with one of the given dynamics."""
        return tuple(i for i, f in enumerate(self.features) if f.dynamics in dynamics)
