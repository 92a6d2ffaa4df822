"""What holds where nothing is said, and where it comes from."""

import dataclasses
import inspect

import pytest

from tinylm.prompt.optimize import (
    ape,
    bandit,
    edits,
    estimate,
    evolve,
    feedback,
    measures,
    paraphrase,
    proposals,
    search,
    transfer,
)

# Pryzant et al. 2023, code: a beam of 4, 6 rounds, batches of 64, 4 critics that read 4 mistakes
# and give a reason, a revision each and 2 paraphrases of it, at most 8 new prompts. Prasad et al.
# 2023: 10 rounds of 5 candidates with 1 edit, a patience of 2. Guo et al. 2024: 10 generations of
# 10, roulette, temperature 0.5. Zhou et al. 2023, code: temperature and top_p 0.9. Auer et al.
# 2002: a bonus of weight 1. Others are of this code: a search has no budget unless it is given one,
# and draws from the seed 0.
NO_BUDGET = {"budget": None, "token_budget": None, "accounts": ()}
SEARCH = {"held": (), "seed": 0}
DEFAULTS = [
    (estimate.PromptEvaluator, NO_BUDGET),
    (search.search_prompts, SEARCH),
    (search.exhaustive, {"batch": 16}),
    (search.random_search, {"count": 32}),
    (search.hill_climb, {"start": None, "restarts": 0}),
    (search.beam, {"width": 4, "depth": 8, "start": ()}),
    (bandit.ucb_indices, {"c": 1.0}),
    (bandit.ucb, {"c": 1.0}),
    (bandit.select_prompts, {"algorithm": bandit.successive_halving}),
    (evolve.tournament, {"size": 2}),
    (evolve.genetic_step, {"select": evolve.roulette}),
    (evolve.genetic, {"generations": 10, "select": evolve.roulette, **SEARCH}),
    (evolve.differential, {"generations": 10, **SEARCH}),
    (evolve.genetic_search, {"size": 10, "generations": 10, "rate": None}),
    (evolve.differential_search, {"size": 10, "generations": 10}),
    (evolve.LMOperator, {"template": evolve.BREED, "begin": "", "max_tokens": 256}),
    (
        measures.TaskMetric,
        {"metric": measures.same_answer, "normalization": "sum", "max_tokens": 32},
    ),
    (measures.LogLikelihood, {"form": None, "demonstrations": (), "normalization": "sum"}),
    (
        proposals.propose,
        {"begin": "", "per_reply": 1, "rounds": 4, "seed": 0, "max_tokens": 128, "stop": ("\n\n",)},
    ),
    (paraphrase.Lexicon, {"groups": paraphrase.SYNONYMS}),
    (paraphrase.lm_translator, {"count": 4, "seed": 0, "max_tokens": 128}),
    (paraphrase.lm_paraphrases, {"count": 4, "seed": 0, "max_tokens": 256}),
    (ape.init_from_description, {"count": 8, "seed": 0}),
    (ape.init_from_pairs, {"count": 8, "seed": 0}),
    (ape.paraphraser, {"count": 2}),
    (ape.ape, {"keep": 0.5, "rounds": 3, **SEARCH}),
    (
        edits.grips,
        {"paraphrase": None, "candidates": 5, "edits": 1, "rounds": 10, "patience": 2, **SEARCH},
    ),
    (feedback.gradients, {"count": 4, "seed": 0, "max_tokens": 256}),
    (feedback.revise, {"count": 1, "seed": 0, "max_tokens": 256}),
    (
        feedback.feedback_revise,
        {"errors": 4, "groups": 4, "reasons": 1, "revisions": 1, "paraphrases": 2},
    ),
    (feedback.protegi, {"width": 4, "rounds": 6, "batch": 64, "most": 8, "pulls": 300, **SEARCH}),
    (transfer.transfer_matrix, {"budget": None}),
]


@pytest.mark.parametrize(
    "function, expected", DEFAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_defaults_are_those_of_the_papers(function, expected):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in expected} == expected


@pytest.mark.parametrize(
    "kind",
    [
        bandit.Pulled,
        edits.Edited,
        estimate.Found,
        estimate.Trial,
        feedback.Mistake,
        transfer.Transfer,
    ],
)
def test_results_do_not_change(kind):
    values = [None] * len(dataclasses.fields(kind))
    result = kind(*values)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(kind)[0].name, 1)
