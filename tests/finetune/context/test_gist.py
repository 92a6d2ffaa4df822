"""Gist tokens: what the mask hides, and that a kept gist is as good as the prompt behind the mask."""

import dataclasses

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import (
    BATCH,
    EXAMPLES,
    V,
    assert_padding_changes_nothing,
    gpt,
)
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune import fit, freeze
from tinylm.finetune.context.context_distillation import AnswerLikelihood, ContextDistillation
from tinylm.finetune.context.contexts import ContextExample, make_batch
from tinylm.finetune.context.gist import GistCompressor, gist_mask


def gist(k=2, **changes):
    return GistCompressor(gpt(**changes), k)


def test_the_mask_of_two_gist_tokens_after_two_of_a_prompt():
    rows = [
        "x.....",
        "xx....",
        "xxx...",  # the gist tokens see the prompt and each other
        "xxxx..",
        "..xxx.",  # what follows sees the gist tokens and itself
        "..xxxx",
    ]
    assert gist_mask(2, 2, 6).tolist() == [[c == "x" for c in row] for row in rows]


def test_without_prompt_the_mask_is_causal_and_what_does_not_fit_is_refused():
    assert (gist_mask(0, 2, 4) == np.tri(4, dtype=bool)).all()
    assert (gist_mask(2, 2, 4) == np.tri(4, dtype=bool)).all()  # nothing is behind the gist yet
    with pytest.raises(ShapeError, match="3 tokens of a prompt and 2 gist tokens"):
        gist_mask(3, 2, 4)
    for prompt, k in ((-1, 2), (2, -1)):
        with pytest.raises(ShapeError, match="do not fit into 4"):
            gist_mask(prompt, k, 4)
    with pytest.raises(ConfigError, match="1 or more"):
        gist(0)


@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_rows_of_different_lengths_give_what_they_give_alone(positions):
    assert_padding_changes_nothing(
        lambda model, batch: model.read(batch), gist(positions=positions)
    )


@pytest.mark.parametrize("positions", ["learned", "rope"])
@pytest.mark.parametrize("kv_heads", [2, 1])
def test_a_kept_gist_gives_what_the_whole_masked_run_gives(positions, kv_heads):
    model = gist(3, positions=positions, n_kv_head=kv_heads)
    kept = model.compress(BATCH.context, BATCH.context_real)
    assert kept[0].length == 3 and kept[1].tolist() == [
        5 + 3,
        2 + 3,
        3 + 3,
    ]  # positions go on after |c| + k
    blind = dataclasses.replace(BATCH, context=None, context_real=None)
    whole = model.read(BATCH).data
    for _ in range(2):  # reading leaves the gist as it was
        np.testing.assert_allclose(
            model.read_compressed(kept, blind).data, whole, rtol=0, atol=1e-12
        )


def test_changing_the_prompt_after_the_gist_was_kept_changes_nothing_and_before_it_does():
    model = gist()
    kept = model.compress(BATCH.context, BATCH.context_real)
    other = dataclasses.replace(BATCH, context=(BATCH.context + 1) % V)
    np.testing.assert_array_equal(
        model.read_compressed(kept, other).data, model.read_compressed(kept, BATCH).data
    )
    assert np.abs(model.read(other).data - model.read(BATCH).data).max() > 1e-3


def test_what_follows_the_gist_sees_the_prompt_only_through_it():
    # In the first layer gist tokens are the same whatever the prompt is. With one layer nothing can
    # pass.
    model = gist(n_layer=1)
    other = dataclasses.replace(BATCH, context=(BATCH.context + 1) % V)
    np.testing.assert_array_equal(model.read(other).data, model.read(BATCH).data)


def test_one_gist_answers_many_questions():
    model, e = gist(), EXAMPLES[0]
    questions = make_batch([dataclasses.replace(e, question=q) for q in ((1, 2), (3,), (0, 0, 4))])
    cache, start = model.compress(np.array([e.context]))
    cache.select([0, 0, 0])
    found = model.read_compressed((cache, np.repeat(start, 3)), questions).data
    np.testing.assert_allclose(found, model.read(questions).data, rtol=0, atol=1e-12)


def test_a_model_that_counts_columns_cannot_keep_a_gist():
    model = gist(positions="alibi")
    with pytest.raises(ConfigError, match="alibi"):
        model.read_compressed(model.compress(BATCH.context[:1]), BATCH.rows(0, 1))


def test_gist_vectors_alone_are_trained_where_the_model_is_frozen():
    model = gist()
    freeze(model.model)
    before = model.state_dict()
    fit(model, AnswerLikelihood(), EXAMPLES, steps=3)
    changed = {
        name
        for name, value in model.state_dict().items()
        if not np.array_equal(value, before[name])
    }
    assert changed == {"gist"}


def test_training_brings_it_nearer_to_the_model_that_sees_the_prompt():
    task, rng = ContextDistillation(gpt()), np.random.default_rng(0)
    examples = [
        ContextExample(tuple(rng.integers(0, V, 4)), tuple(rng.integers(0, V, 2)), (0,))
        for _ in range(24)
    ]
    model, batch = gist(), make_batch(examples)
    before = task.loss(model, batch)[0].item()
    fit(model, task, examples, steps=60, batch_size=8, learning_rate=1e-2)
    assert task.loss(model, batch)[0].item() < before / 3  # 0.22 before, 0.023 after


def test_a_gist_is_made_and_read_without_dropout_by_a_model_in_training_too():
    model = gist(dropout=0.5)
    model.eval()
    calm = model.read_compressed(model.compress(BATCH.context, BATCH.context_real), BATCH).numpy()
    model.train()
    kept = model.compress(BATCH.context, BATCH.context_real)
    np.testing.assert_array_equal(model.read_compressed(kept, BATCH).numpy(), calm)
    assert model.training and model.model.training
