"""The releases of a turn spend its budget together, and never more."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from privacy.engine.dp.accounting import calibrate, calibration_part
from privacy.engine.turn_shares import judging_share, training_share
from tests.factories.diary import diary


def test_where_everybody_trains_and_judges_both_parts_are_the_whole_and_training_has_the_larger() -> None:
    spec = diary()
    assert training_share(spec) + judging_share(spec) == 1
    assert training_share(spec) == Fraction(7, 10)


def test_where_people_are_held_out_each_release_spends_all_on_its_own_people() -> None:
    spec = replace(diary(), evaluation_share=0.3)
    assert training_share(spec) == judging_share(spec) == 1


def test_charges_add_up_to_the_turns() -> None:
    whole = calibrate(epsilon=1.0, delta=1e-5, maximum=1.0)
    parts = [calibration_part(whole, share(diary())) for share in (training_share, judging_share)]
    assert 0 <= whole.rho_nano - sum(p.rho_nano for p in parts) <= 1
    assert whole.policy_nano <= sum(p.policy_nano for p in parts) <= whole.policy_nano + 1
