"""What a loop is: the frozen, validated record that a TOML file becomes.

Everything public about a learning problem lives here, and nothing about a person does: which features are observed and
inside which bounds, which actions each head may take, how reward is composed, how a file of logged decisions maps onto it.
Later stages read scales, clips and feature sets from this record alone, so that no computation depends on one world.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from core.canonical_json import list_json
from core.durations import DAY, HOUR, WEEK
from core.errors import InputError
from loops.engine.heads import MAIN_HEAD, timing_head

Dynamics = Literal["learned", "drift", "since_intervention", "recent_load", "clock", "constant"]
NextState = Literal["next_row", "next_row_same_day", "next_available", "next_available_same_day"]
RewardAggregate = Literal["earliest", "latest", "sum", "mean"]

KNOWN_DYNAMICS: frozenset[str] = frozenset({"since_intervention", "recent_load", "clock", "constant"})


@dataclass(frozen=True)
class Feature:
    """One observed quantity. A number has ``bounds``, a category has ``categories``; never both.

    ``scale`` is the public whitening constant of the one-step change (numbers with learned or drift dynamics).
    ``step`` belongs to ``since_intervention`` (growth a decision point), ``decay`` to ``recent_load``.
    In a state array a category is its index in ``categories``. ``bins`` (of a number) and ``parents`` (of each category) are the
    hierarchy by which records are generalised; ``starts`` are the times of day (HH:MM, local) at which each category of a clock
    begins, from which it is read where nobody tells it. A model that was made with others of these fits all the same.
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
        return bool(self.categories)

    @property
    def range(self) -> tuple[float, float]:
        """Lower and upper bound; (0, 1) where none is declared, as of a category."""
        return self.bounds or (0.0, 1.0)


@dataclass(frozen=True)
class Head:
    """One model type of the loop. ``logging`` is the constant exploration distribution, in the order of ``actions``."""

    name: str
    actions: tuple[str, ...]
    reference: str
    logging: tuple[float, ...]
    when: Literal["always", "intervening"] = "always"

    @property
    def reference_index(self) -> int:
        return self.actions.index(self.reference)


@dataclass(frozen=True)
class Reward:
    """How outcome becomes reward. ``scale`` is the public whitening constant of the total.

    ``default`` is the total of an available decision that nothing was heard of; None: such a decision teaches nothing.
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
    stability_margin: float | None = None  # half-width of the reward-stability test; None: half of ``scale``


@dataclass(frozen=True)
class MomentsOptions:
    """Public constants of the moments release. None means: derived by the public rule of docs/decisions."""

    nominal_users: int | None = None
    nominal_decisions: int | None = None
    clips: dict[str, float] = field(default_factory=dict)  # block name -> L2 clip, overrides the null-user rule
    features: Literal["linear", "hinges"] | None = None


@dataclass(frozen=True)
class Availability:
    """When nobody may be spoken to, whatever a policy says. ``quiet_hours`` are the person's local times.

    ``distress`` maps a number to (low, high): at or below low, or at or above high, nothing is tried on the person. What was
    last heard longer ago than ``memory_seconds`` is no longer known.
    """

    daily_cap: int | None = None
    cooldown_seconds: int = 0
    quiet_hours: tuple[str, str] | None = None
    distress: dict[str, tuple[float, float]] = field(default_factory=dict)
    memory_seconds: int = WEEK


@dataclass(frozen=True)
class ImportHead:
    """Columns of one head in a file; ``propensity`` None: the head's logging distribution applies."""

    action: str
    propensity: str | None = None


@dataclass(frozen=True)
class ImportMap:
    """How a file of logged decisions maps onto the loop. Values are column names of the file unless said otherwise.

    ``key`` names the columns that make a row the same row. ``missing`` is "drop" or, by feature, the value to put in.
    ``actions[head]`` maps values of the file to actions of the head. ``transforms`` maps a feature or ``reward`` to a
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
    left: str | None = None  # a truthy value: the person left for good after this row
    transforms: dict[str, str] = field(default_factory=dict)
    actions: dict[str, dict[str, str]] = field(default_factory=dict)
    categories: dict[str, dict[str, str]] = field(default_factory=dict)  # feature -> value of the file -> category


@dataclass(frozen=True)
class LoopSpec:
    """One learning problem. ``population`` names the people: loops with one population share persons and budgets."""

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
    evaluation_share: float = 0.3  # share of people kept out of training, on whom candidates are judged
    minimum_effect: float | None = (
        None  # declared smallest gain worth finding, in reward units; None: .1 of reward scale
    )
    exploration: float = 0.1  # share of served decisions drawn from ``logging``
    exploration_before: float = 1.0  # the same until the loop has deployed something that it learned
    retrain_every_seconds: int | None = (
        None  # a turn begins by itself so long after the last; None: only when asked for
    )
    logging_rounds: int = 6  # turns without a deployment after which ``exploration`` holds all the same

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features)

    @cached_property
    def features_signature(self) -> bytes:
        """8 bytes by which values that were stored are known to be of these features, in this order, on these ranges."""
        described = [[f.name, f.dynamics, f.bounds, f.categories] for f in self.features]
        return hashlib.blake2b(list_json(described), digest_size=8).digest()

    @cached_property
    def head_names(self) -> tuple[str, ...]:
        return tuple(h.name for h in self.heads)

    @cached_property
    def main_head(self) -> Head:
        """The head that decides whether to intervene (``loops.engine.heads`` says which)."""
        return self.head(MAIN_HEAD)

    @cached_property
    def sub_heads(self) -> tuple[Head, ...]:
        """The heads beside the main head, in the order of the loop file."""
        return tuple(h for h in self.heads if h.name != MAIN_HEAD)

    @cached_property
    def heads_main_first(self) -> tuple[Head, ...]:
        """All heads in the order in which they choose: the main head, then the sub-heads."""
        return (self.main_head, *self.sub_heads)

    @property
    def timing_head(self) -> Head:
        """The head whose actions ``reward.best_delay_seconds`` names."""
        return self.head(timing_head(self.head_names))

    def feature(self, name: str) -> Feature:
        return next(f for f in self.features if f.name == name)

    def head(self, name: str) -> Head:
        """The head of a name. Raises InputError that lists the loop's heads where there is none."""
        for head in self.heads:
            if head.name == name:
                return head
        raise InputError(f"loop {self.name!r} has no head {name!r}; it has {', '.join(self.head_names)}")

    def features_with(self, *dynamics: str) -> tuple[int, ...]:
        """Indices (columns of a state array) of the features that move in one of the given ways."""
        return tuple(i for i, f in enumerate(self.features) if f.dynamics in dynamics)
