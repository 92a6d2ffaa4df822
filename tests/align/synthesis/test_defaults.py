"""What holds where nothing is given: defaults and their sources, and seeds of 0."""

import inspect

import pytest

from tests.prompt.seeds import default_seeds
from tinylm.align import synthesis
from tinylm.align.synthesis import (
    diversity,
    evolve,
    filters,
    output_first,
    pool,
    qa_pages,
    self_instruct,
    self_training,
    steps,
    tasks,
    teacher,
)
from tinylm.data.mix.instruction_mixture import empty_answer

# Wang et al. 2023: 6 instructions by people and 2 by the model, ROUGE-L below 0.7, instructions of
# 4 to 150 words. Xu et al. 2024: all operations. A line of an instruction fits into 64 tokens, an
# input into 128, an answer into 256.
DEFAULTS = [
    (diversity.distinct_n, {"n": 2}),
    (filters.instruction_length, {"shortest": 4, "longest": 150}),
    (filters.too_similar, {"limit": 0.7}),
    (pool.TaskPool, {"rouge_l_max": 0.7}),
    (pool.TaskPool.sample_demonstrations, {"n_human": 6, "n_model": 2}),
    (self_instruct.generate_instruction, {"max_tokens": 64}),
    (self_instruct.generate_example, {"max_tokens": 256}),
    (
        self_instruct.self_instruct,
        {
            "n_human": 6,
            "n_model": 2,
            "n_examples": 2,
            "rouge_l_max": 0.7,
            "complaints": filters.FILTERS,
        },
    ),
    (output_first.output_first, {"max_tokens": 128, "demonstrations": ()}),
    (evolve.evolve, {"max_tokens": 128}),
    (evolve.elimination, {"same": 0.95}),
    (evolve.evolution, {"max_tokens": 256, "operations": tuple(evolve.OPERATIONS)}),
    (teacher.generate_responses, {"max_tokens": 256, "complaints": (empty_answer,)}),
    (self_training.self_training, {"threshold": 0.9, "rounds": 1}),
    (qa_pages.qa_pairs, {"task": "questions"}),
    (tasks.task_samples, {"phrasings": None}),
    (steps.Steps, {"limit": None, "line": None}),
]


@pytest.mark.parametrize("function, defaults", DEFAULTS)
def test_defaults_are_those_of_the_papers(function, defaults):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


def test_every_seed_is_0_unless_it_is_given():
    seeds = default_seeds(synthesis)
    assert seeds and all(seed == 0 for seed in seeds)
