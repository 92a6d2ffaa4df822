"""Answers of a model, corrected by an oracle."""

import dataclasses

import pytest

from tinylm.align.synthesis.corrected import correct_answers, correction_rounds
from tinylm.align.synthesis.tasks import TASKS
from tinylm.errors import ConfigError

ADD = TASKS["add"].solve


class Memory:
    """A model that knows the sums that it was tuned on, and answers 0 to others."""

    def __init__(self):
        self.known, self.tuned = {}, []

    def answer(self, queries):
        return [self.known.get(query, "0") for query in queries]

    def learn(self, samples):
        self.tuned.append(len(samples))
        self.known = {sample.instruction: sample.output for sample in samples}


def oracle(query, answer):
    return ADD(query)


def test_wrong_answers_are_replaced_and_counted():
    found = correct_answers(lambda queries: ["3", "5", "0"], ["1 2", "2 2", "0 0"], oracle, "add")
    assert [sample.output for sample in found.samples] == ["3", "4", "0"]
    assert [sample.instruction for sample in found.samples] == ["1 2", "2 2", "0 0"]
    assert found.changed.tolist() == [False, True, False]
    assert found.rate == pytest.approx(1 / 3)
    assert {sample.task for sample in found.samples} == {"add"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.samples = []


def test_the_model_learns_from_all_rounds_and_needs_fewer_corrections():
    model = Memory()
    # Two of four queries of the second round were in the first; all of the third are known.
    rounds = [["1 2", "2 2"], ["1 2", "2 2", "3 3", "4 4"], ["3 3", "2 2"]]
    found = correction_rounds(model.answer, model.learn, rounds, oracle, "add")
    assert [one.rate for one in found] == [1.0, 0.5, 0.0]
    assert model.tuned == [2, 6, 8]
    assert found[0].samples[0].task == "add"


def test_every_query_has_an_answer():
    with pytest.raises(ConfigError, match="1 answers to 2 queries"):
        correct_answers(lambda queries: ["1"], ["1 0", "2 0"], oracle)
    with pytest.raises(ConfigError, match="0 answers to 0 queries"):
        correct_answers(lambda queries: [], [], oracle)
    assert correct_answers(lambda queries: ["1"], ["1"], oracle).samples[0].task == ""
