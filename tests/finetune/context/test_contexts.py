"""Contexts, questions and answers side by side: padding moves nothing."""

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import (
    BATCH,
    EXAMPLES,
    assert_padding_changes_nothing,
    gpt,
)
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.context.contexts import (
    ContextExample,
    align_right,
    layout,
    make_batch,
    read_context,
    read_short,
    tokens,
    vectors,
)
from tinylm.pretrain.batch import IGNORE


def test_rows_end_at_the_last_column():
    ids, real = align_right([(5, 2), (7, 4, 4, 9), ()])
    assert ids.tolist() == [[0, 0, 5, 2], [7, 4, 4, 9], [0, 0, 0, 0]]
    assert real.sum(axis=1).tolist() == [2, 4, 0] and real[0].tolist() == [False, False, True, True]


def test_a_batch_holds_every_part_in_columns_of_its_own():
    assert BATCH.inputs.tolist() == [[0, 2, 6], [1, 4, 1], [0, 0, 0]] and BATCH.real.sum(
        axis=1
    ).tolist() == [2, 3, 1]
    assert (
        BATCH.targets.tolist() == [[5, 3, IGNORE], [6, IGNORE, IGNORE], [1, 2, 3]]
        and BATCH.tokens == 2 + 1 + 3
    )
    assert BATCH.context.shape == (3, 5) and BATCH.short.shape == (3, 3) and BATCH.teacher is None
    assert BATCH.rows(1, 2).context.tolist() == [[0, 0, 0, 2, 0]]


def test_positions_count_tokens_and_not_columns():
    model = gpt()
    _, real, positions = layout(
        [
            tokens(model, BATCH.context, BATCH.context_real),
            vectors(model.tokens.weight[:2], 3),
            tokens(model, BATCH.inputs, BATCH.real),
        ]
    )
    for r, p in zip(real, positions):
        assert p[r].tolist() == list(range(r.sum()))


@pytest.mark.parametrize("read", [read_context, read_short])
@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_rows_of_different_lengths_give_what_they_give_alone(read, positions):
    assert_padding_changes_nothing(read, gpt(positions=positions))


def test_reading_a_context_is_reading_the_tokens_in_a_row():
    model, e = gpt(), EXAMPLES[0]
    whole = model(np.array([[*e.context, *e.question, *e.answer[:-1]]])).data[0, -2:]
    np.testing.assert_allclose(
        read_context(model, BATCH).data[0, :2], whole, rtol=0, atol=1e-12
    )  # rounding


def test_models_that_count_columns_refuse_padding_between_tokens():
    model = gpt(positions="alibi")
    with pytest.raises(ConfigError, match="alibi"):
        read_context(model, BATCH)
    read_context(model, make_batch(EXAMPLES[:1]))  # without padding there is nothing to refuse


def test_examples_without_question_or_answer_are_refused():
    with pytest.raises(DataError, match="question"):
        make_batch([ContextExample((1,), (), (2,))])
    with pytest.raises(DataError, match="answer"):
        make_batch([ContextExample((1,), (2,))])
