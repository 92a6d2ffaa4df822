"""Runs read their text once, are the same from the same seed, and come back from their file."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tinylm.data import MarkovChain
from tinylm.errors import ConfigError, DataError
from tinylm.models import GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.train.scaling import sweep
from tinylm.train.scaling.accounting import step_flops
from tinylm.train.scaling.sweep import load_runs, one_pass, save_run, train_one

V, T, BATCH = 8, 8, 4
CHAIN = MarkovChain.random(V)
TEXT, HELD_OUT = CHAIN.sample(20_000), CHAIN.sample(2_000, seed=1)
CONFIG = GPTConfig(V, T, 1, 2, 16, norm="rms", positions="rope", bias=False)


def test_every_token_is_a_target_once_and_no_other():
    ids = np.arange(1000)
    targets = np.concatenate(
        [windows[:, 1:].ravel() for windows in one_pass(ids, T, 500, BATCH, 0)]
    )
    assert len(targets) == len(set(targets)) == 480  # 500 // 32 = 15 batches of 32 targets
    more = np.concatenate([windows[:, 1:].ravel() for windows in one_pass(ids, T, 992, BATCH, 0)])
    assert sorted(more) == list(range(1, 993)) and more[
        :480
    ].tolist() == targets.tolist() != sorted(targets)
    with pytest.raises(
        DataError, match="992 tokens in windows of 8, 4 at a time, from a text of 992"
    ):
        list(
            one_pass(ids[:992], T, 992, BATCH, 0)
        )  # the last of 992 targets would be token 992, the 993rd


def test_a_run_says_what_it_was_and_is_a_function_of_its_seed(tmp_path):
    run = train_one(
        CONFIG,
        TEXT,
        HELD_OUT,
        2000,
        BATCH,
        1e-2,
        seed=3,
        probe=lambda best, targets: {"shape": list(best.shape)},
    )
    steps = 2000 // (T * BATCH)
    assert (run.width, run.layers, run.tokens, run.seed) == (16, 1, steps * T * BATCH, 3)
    assert run.parameters == count_parameters(CONFIG) == run.non_embedding + V * 16
    assert run.flops == steps * step_flops(CONFIG, BATCH, T)
    assert run.measures["shape"] == [2000 // T - 1, T] and 0 < run.measures["accuracy"] < 1
    assert run.curve[-1][0] == run.tokens and run.curve[0][1] > run.curve[-1][1]
    again = train_one(CONFIG, TEXT, HELD_OUT, 2000, BATCH, 1e-2, seed=3)
    assert again.loss == run.loss and again.curve == run.curve
    save_run(run, tmp_path / "runs.jsonl")
    save_run(run, tmp_path / "runs.jsonl")
    assert (
        load_runs(tmp_path / "runs.jsonl") == [run, run]
        and load_runs(tmp_path / "none.jsonl") == []
    )


def test_a_run_reads_as_its_schedule_says(monkeypatch):
    calls = []

    def fake(model, objective, optimizer, rows, first, total, rate, clip):
        calls.append((optimizer.betas, optimizer.weight_decay, rate, clip, first, total, len(rows)))
        return SimpleNamespace(loss=float(len(calls)))  # the loss of step i is i

    monkeypatch.setattr(sweep, "train_step", fake)
    text = np.zeros(40_000, int)
    began = time.process_time()
    run = train_one(CONFIG, text, HELD_OUT, 1200 * T * BATCH, BATCH, 0.5)
    assert len(calls) == 1200 and 0 <= run.seconds <= time.process_time() - began
    # Hoffmann et al. 2022: AdamW; all of one pass, so no decay is needed.
    assert {call[:2] + call[3:] for call in calls} == {((0.9, 0.95), 0.0, 1.0, 0, BATCH, BATCH)}
    rates = [call[2] for call in calls]
    assert max(rates) == 0.5 and rates.index(0.5) == 100  # a hundred steps up at most
    assert rates[-1] == pytest.approx(0.05) and rates[:100] == sorted(rates[:100])
    # The curve: sixteen parts of 75 steps, and the mean loss of each.
    assert run.curve[0] == (75 * T * BATCH, 38.0) and run.curve[-1] == (1200 * T * BATCH, 1163.0)
    assert len(run.curve) == 16
    # A tenth of the steps rises where that is less than a hundred: 4 of 30, from 1/5 on.
    calls.clear()
    run = train_one(CONFIG, text, HELD_OUT, 30 * T * BATCH, BATCH, 1.0, points=50)
    rates = [call[2] for call in calls]
    assert rates[0] == pytest.approx(1 / 5) and rates.index(1.0) == 4 and len(run.curve) == 30
    calls.clear()
    train_one(CONFIG, text, HELD_OUT, T * BATCH, BATCH, 1.0)  # one batch is enough
    assert len(calls) == 1


def test_a_file_that_was_cut_short_is_read_up_to_there(tmp_path):
    run, path = train_one(CONFIG, TEXT, HELD_OUT, 100, BATCH, 1e-2), tmp_path / "runs.jsonl"
    save_run(run, path)
    whole = path.read_text()
    path.write_text(whole + whole[:40])
    assert load_runs(path) == [run]
    said, found = [], json.loads(whole)
    wrong = [
        {**found, name: value} for name in found for value in (None, "a", [1], {"a": []}, True)
    ]
    wrong += [{**found, "loss": 10**400}, {**found, "more": 1}, [], 1]
    lines = [whole[:40], "[" * 100_000, *map(json.dumps, wrong)]
    path.write_bytes(b"\xff\n" + "\n".join([*lines, whole]).encode())
    assert load_runs(path, said.append) == [run]
    assert f"{1 + len(lines)} damaged lines passed over, the first is line 1" in said[0]
    with pytest.raises(ConfigError, match="less than one batch of 4 x 8"):
        train_one(CONFIG, TEXT, HELD_OUT, 31, BATCH, 1e-2)


@pytest.mark.slow
def test_more_text_from_a_known_source_brings_the_loss_down_towards_its_entropy():
    losses = [
        train_one(CONFIG, TEXT, HELD_OUT, n, BATCH, 1e-2).loss
        for n in (1_000, 2_000, 4_000, 8_000, 16_000)
    ]
    # What the true probabilities lose on this very held-out text; windows leave its first token
    # out, as here.
    best = -float(np.mean(np.log(CHAIN.transition[HELD_OUT[:-1], HELD_OUT[1:]])))
    excess = np.array(losses) - best
    assert np.all(np.diff(excess) < 0) and 0 < excess[-1] < excess[0] / 10  # 16 times the text
