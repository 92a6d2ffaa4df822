"""Supervised pretraining and transfer: the model of one task, with a new last layer, is where
another task starts.
"""

import numpy as np

from tests.finetune.continual.several import ENCODER_INPUT, encoder, word_task
from tinylm.finetune.fitting import fit
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier, replace_head


def pretrained():
    """A classifier that has learnt a first task."""
    model = Classifier(encoder(), 2, "mean")
    fit(
        model,
        Classification(ENCODER_INPUT),
        word_task(0),
        epochs=6,
        batch_size=8,
        learning_rate=0.02,
    )
    return model


def test_the_sequence_model_is_kept_bit_for_bit_and_the_last_layer_is_new():
    old = pretrained()
    before = old.encoder.state_dict()
    new = replace_head(old, 3, seed=5)
    for name, value in new.encoder.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert new.out.weight.shape == (16, 3) and new.pool is old.pool
    np.testing.assert_array_equal(
        new.out.weight.numpy(), Classifier(encoder(), 3, seed=5).out.weight.numpy()
    )


def test_learning_the_second_task_reaches_the_sequence_model():
    new = replace_head(pretrained(), 2)
    before = new.encoder.state_dict()
    fit(new, Classification(ENCODER_INPUT), word_task(1), steps=1, warmup=0)
    after = new.encoder.state_dict()
    assert not np.array_equal(after["tokens.weight"], before["tokens.weight"])


def test_a_related_task_is_learnt_from_fewer_steps_than_from_scratch():
    opposite = [
        (text, 1 - label) for text, label in word_task(0, seed=1)
    ]  # the same question, the answers renamed
    ends = [
        fit(
            model,
            Classification(ENCODER_INPUT),
            opposite,
            steps=18,
            batch_size=8,
            learning_rate=0.02,
        )[-6:].mean()
        for model in (replace_head(pretrained(), 2), Classifier(encoder(), 2, "mean"))
    ]
    assert ends[0] < 0.5 * ends[1]  # fixed seeds: the encoder knows what to look at
