"""What holds where nothing is said: defaults and their sources, and seeds of 0."""

import inspect

import pytest

from tinylm.data.read.items import Item
from tinylm.prompt.in_context import (
    calibration,
    clusters,
    few_shot,
    function_classes,
    gradient_descent,
    induction,
    learned_retriever,
    real_decoder,
    regression,
    selection,
    sensitivity,
    shots,
    structured,
)

# Rubin et al. 2022: 50 candidates and the best and worst 5 of them. Zhang et al. 2023: questions of
# at most 60 words, 5 steps. Zhao et al. 2021: three inputs without content. Garg et al. 2022: 3
# nonzero weights, 100 hidden units, trees of depth 4, 3 neighbors. Robertson and Zaragoza 2009: k1
# 1.2, b 0.75. 120 orders are all orders of five demonstrations.
DEFAULTS = [
    (few_shot.few_shot, {"normalization": "sum", "budget": None, "max_tokens": 64}),
    (few_shot.zero_shot, {"normalization": "sum", "budget": None, "max_tokens": 64}),
    (selection.NearestByWords, {"k1": 1.2, "b": 0.75}),
    (selection.NearestByEmbedding, {"metric": "cosine"}),
    (selection.Diverse, {"trade_off": 0.5}),
    (selection.marginal_relevance, {"trade_off": 0.5}),
    (selection.arranged, {"order": "nearest last"}),
    (learned_retriever.contrasts, {"candidates": 50, "kept": 5}),
    (
        learned_retriever.learn_retriever,
        {
            "candidates": 50,
            "kept": 5,
            "d_model": 64,
            "epochs": 30,
            "learning_rate": 1e-2,
            "batch_size": 32,
        },
    ),
    (clusters.auto_cot, {"words": 60, "steps": 5, "opening": "Let's think step by step."}),
    (clusters.is_simple, {"words": 60, "steps": 5}),
    (shots.accuracy_by_shots, {"shots": (0, 1, 2, 4, 8, 16)}),
    (shots.table, {"shots": (0, 4, 16)}),
    (sensitivity.orders, {"most": 120}),
    (sensitivity.order_sensitivity, {"most": 120}),
    (calibration.content_free_prior, {"inputs": ("N/A", "", "[MASK]")}),
    (calibration.contextual_calibration, {"inputs": ("N/A", "", "[MASK]"), "max_tokens": 0}),
    (structured.optimize_fields, {"rounds": 1}),
    (gradient_descent.LinearSelfAttention, {"std": 0.1}),
    (gradient_descent.gradient_steps, {"steps": 1}),
    (function_classes.sparse_linear, {"nonzero": 3}),
    (function_classes.two_layer_relu, {"hidden": 100}),
    (function_classes.decision_tree, {"depth": 4}),
    (function_classes.prompts, {"active": None, "noise": 0.0}),
    (regression.nearest, {"neighbors": 3}),
    (induction.mapping_prompts, {"shuffled": False}),
]
SEEDED = [
    few_shot.few_shot,
    few_shot.zero_shot,
    selection.random_demonstrations,
    selection.arranged,
    learned_retriever.TwoEncoders,
    learned_retriever.learn_retriever,
    shots.exchanged_answers,
    clusters.by_cluster,
    clusters.auto_cot,
    sensitivity.orders,
    sensitivity.order_sensitivity,
    calibration.contextual_calibration,
    gradient_descent.LinearSelfAttention,
    function_classes.prompts,
    real_decoder.RealDecoder,
    induction.repeated,
    induction.mapping_prompts,
]


@pytest.mark.parametrize("function, expected", DEFAULTS)
def test_defaults_are_those_of_the_papers(function, expected):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in expected} == expected


@pytest.mark.parametrize("function", SEEDED)
def test_every_seed_is_0_unless_it_is_given(function):
    assert inspect.signature(function).parameters["seed"].default == 0


def test_the_usual_form():
    plain = few_shot.FewShotPrompt()
    item = Item("x", "y", context="z", rationale="w")
    assert plain.prompt(item, [item]) == "Context: z\nQ: x\nA: y\n\nContext: z\nQ: x\nA:"
    assert plain.demonstration(item, rationale=True).endswith("A: w The answer is y.")
