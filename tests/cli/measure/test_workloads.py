"""The works that are measured: what the contestants share, and how it becomes batches."""

import numpy as np

from tinylm.cli.measure.bench import products
from tinylm.cli.measure.workloads import USUAL, WORKS, batches, initial_weights
from tinylm.machine import blas_kernels
from tinylm.pretrain.batch import IGNORE


def test_a_decoder_reads_its_targets_shifted_by_one():
    work = WORKS["W3"]
    drawn = batches(work, 2)
    inputs, targets = work.examples(drawn[1])
    assert inputs.shape == targets.shape == (work.batch, work.context)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])


def test_an_encoder_predicts_a_few_tokens_most_of_which_are_masked():
    work = WORKS["M1"]
    mask = work.vocab_size - 1
    counts = []
    for drawn in batches(work, 8):
        inputs, targets = work.examples(drawn)
        counts.append(np.mean(targets != IGNORE))
        assert np.all(targets != mask) and np.all(inputs[targets == IGNORE] != mask)
    # 8 x 768 positions, of which 15 % are chosen: the standard deviation of the share is 0.5 %
    assert abs(np.mean(counts) - 0.15) < 0.02


def test_the_loss_of_a_work_is_that_of_a_guess_at_its_beginning():
    for name in USUAL:
        work = WORKS[name]
        if work.d_model > 128:
            continue  # W2 takes a second
        model = work.model()
        batch = work.batch_of(*work.examples(batches(work, 1)[0]))
        loss, found = work.objective.loss(model, batch)
        assert found["tokens"] == batch.tokens
        # weights of size 0.02 say nothing yet: every token is as likely as another
        assert abs(float(loss.item()) - np.log(work.vocab_size)) < 0.2


def test_contestants_start_from_the_weights_of_the_work():
    weights = initial_weights(WORKS["M1"])
    model = WORKS["M1"].model(seed=5)
    model.load_state_dict(weights)
    np.testing.assert_array_equal(model.tokens.weight.data, weights["tokens.weight"])


def test_the_kernels_of_products_are_named_and_a_choice_from_outside_is_told(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert (blas_kernels() or "unknown") in products()
    assert "OPENBLAS_CORETYPE" not in products()
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "unset it" in products()
