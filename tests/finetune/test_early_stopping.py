"""Early stopping: when it stops, and what it goes back to."""

import numpy as np
import pytest

from tests.finetune.continual.several import ENCODER_INPUT, encoder, word_task
from tinylm.errors import ConfigError
from tinylm.finetune.early_stopping import EarlyStopping
from tinylm.finetune.fitting import evaluate, fit
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier


def test_it_stops_after_patience_epochs_without_improvement_and_goes_back():
    model, epochs = Classifier(encoder(), 2), iter([0.5, 0.7, 0.7, 0.6, 0.9])
    states = []

    def measure():
        states.append(model.state_dict())
        return next(epochs)

    stopping = EarlyStopping(model, measure, patience=2)
    losses = fit(
        model,
        Classification(ENCODER_INPUT),
        word_task(0),
        epochs=5,
        batch_size=16,
        after_epoch=stopping,
    )
    assert (
        stopping.history == [0.5, 0.7, 0.7, 0.6] and stopping.best_epoch == 2
    )  # equal is not better
    assert len(losses) == 4 * 3  # 48 examples in batches of 16
    stopping.restore()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, states[1][name])


def test_measuring_changes_nothing_in_the_training():
    found, task, others = [], Classification(ENCODER_INPUT), word_task(0, seed=1)
    for patience in (None, 9):
        model = Classifier(encoder(), 2)
        stopping = patience and EarlyStopping(
            model, lambda m=model: evaluate(m, task, others)["accuracy"], patience
        )
        found.append(fit(model, task, word_task(0), epochs=2, after_epoch=stopping))
    np.testing.assert_array_equal(*found)


def test_a_patience_of_one_stops_at_the_first_epoch_that_is_no_better():
    scores = iter([0.5, 0.6, 0.6])
    stopping = EarlyStopping(Classifier(encoder(), 2), lambda: next(scores), patience=1)
    assert [stopping(epoch, []) for epoch in (1, 2, 3)] == [False, False, True]
    assert stopping.best_epoch == 2 and stopping.best == 0.6


def test_without_an_epoch_there_is_nothing_to_go_back_to():
    model = Classifier(encoder(), 2)
    assert EarlyStopping(model, lambda: 0.0).best_epoch == 0  # epochs are counted from 1
    before = model.state_dict()["out.weight"]
    np.testing.assert_array_equal(
        EarlyStopping(model, lambda: 0.0).restore().state_dict()["out.weight"], before
    )
    with pytest.raises(ConfigError, match="at least 1 epoch"):
        EarlyStopping(model, lambda: 0.0, patience=0)
