"""What the coverage benchmark's log shows of a fixed candidate is, on average, the truth that it is held against."""

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import Cell, candidate_of, needy_policy, simulated
from privacy.engine.evaluation.statistics import person_values


@pytest.mark.parametrize("cell", [Cell(0.2, "normal"), Cell(0.5, "heavy")])
def test_person_values_average_to_the_truth(cell, monkeypatch):
    monkeypatch.setattr(coverage, "_POPULATION", 10_000)
    people = simulated(cell, np.random.default_rng(1))
    policy = needy_policy(cell.spec)
    truth = coverage._truth(people, policy)
    values = person_values(cell.spec, people.evaluation, candidate_of(cell.spec, policy))
    gain = values["improvement"].value
    assert gain.mean() == pytest.approx(truth["improvement"], abs=4 * gain.std() / 100)
    for metric, bar in (("false_intervention", 0.10), ("empathy_deficit", 0.25)):
        value, weight = values[metric].value, values[metric].weight
        assert weight is not None
        share = bar + value.sum() / weight.sum()
        assert share == pytest.approx(truth[metric], abs=0.01)


def test_truths_lie_where_a_gate_must_tell(monkeypatch):
    monkeypatch.setattr(coverage, "_POPULATION", 5_000)
    cell = Cell(0.5, "normal")
    truth = coverage._truth(simulated(cell, np.random.default_rng(1)), needy_policy(cell.spec))
    assert 0 < truth["improvement"] < 0.3
    assert 0.07 < truth["false_intervention"] < 0.09
    assert 0.16 < truth["empathy_deficit"] < 0.20
