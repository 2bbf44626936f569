"""Splits a ``moments`` release's privacy budget over its noised blocks.

Round 0 noises ``counts``. Round 1 noises ``gram`` and ``targets``. Round 2 noises ``effects`` and ``variances``, and a block of
effects for each head beside policy.
"""

from __future__ import annotations

BUDGET_SHARES = {"counts": 0.03, "gram": 0.25, "targets": 0.10, "effects": 0.58, "variances": 0.0395}
# Of the whole budget, divided among the sub-heads. At .2, policy lost .03 of the attainable gain at 1,000 people.
SUB_SHARE = 0.10
