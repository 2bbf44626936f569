"""Splits a ``moments`` release's privacy budget over its noised blocks.

Round 0 noises ``counts``. Round 1 noises ``gram`` and ``targets``. Round 2 noises ``effects``, ``variances``, the
``shares`` of policy's actions, a block of effects for each head beside policy, and one block of all their action shares.
"""

from __future__ import annotations

BUDGET_SHARES = {"counts": 0.03, "gram": 0.24, "targets": 0.10, "effects": 0.56, "variances": 0.0395, "shares": 0.03}
# Of the whole budget, divided among the sub-heads. At .2, policy lost .03 of the attainable gain at 1,000 people.
SUB_SHARE = 0.10
SUB_ACTIONS_SHARE = 0.015  # of the whole budget, within SUB_SHARE: the action shares of all sub-heads
