"""The rows of a run: pure functions of step and seed, of the right length, in two stages or as
pairs of translations.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.train.run.test_objectives import PAIRS, config_for
from tests.train.run.test_run import quiet
from tests.train.tiny import tiny_config
from tinylm.data import RandomWindows
from tinylm.errors import DataError
from tinylm.models import GPT, GPTConfig
from tinylm.train import prepare_run, train_run
from tinylm.train.run.rows import TwoStages, WholeWindows, split_pair


def test_short_rows_come_first_and_full_ones_after():
    tokens = np.arange(100)
    rows = TwoStages(RandomWindows(tokens, 4, 3), RandomWindows(tokens, 16, 3), steps=2)
    assert [rows.batch(step).shape for step in range(4)] == [(3, 5), (3, 5), (3, 17), (3, 17)]
    assert np.array_equal(rows.batch(2, 1, 3), rows.batch(2)[1:3])  # a worker's own rows


def test_attention_on_rows_of_a_quarter_costs_a_sixteenth():
    """BERT's 128 of 512 tokens: products of queries and keys grow with T^2, all other products with
    T.
    """
    flops = {}
    for T in (4, 16):
        model = GPT(GPTConfig(11, 16, 1, 1, 8))
        with tl.count_operations() as counts:
            model(np.zeros((1, T), np.int64))
        flops[T] = counts.flops
    attention = next(name for name in flops[4] if "attention" in name)
    assert flops[16][attention] == 16 * flops[4][attention]
    assert flops[16]["linear"] == 4 * flops[4]["linear"]


def test_windows_of_one_length_drop_the_rest_unless_there_is_nothing_else():
    assert [batch.shape for batch in WholeWindows(np.arange(20), 6).batches(2)] == [(2, 7), (1, 7)]
    assert [batch.shape for batch in WholeWindows(np.arange(4), 6).batches(2)] == [(1, 4)]


@pytest.mark.parametrize(
    "name, width", [("causal", 13), ("fim", 13), ("masked", 12), ("bart", 12), ("bert", 12)]
)
def test_an_encoder_reads_as_many_tokens_of_text_as_a_decoder(tmp_path, name, width):
    run = prepare_run(config_for(tmp_path, name), quiet)
    train, validation = run.rows, run.validation
    assert train.batch(0).shape == (4, width)  # a decoder's last is only a target
    assert next(validation.batches(2)).shape == (2, width)


def test_pairs_of_translations_are_kept_together(tmp_path):
    run = prepare_run(config_for(tmp_path, "translation", context=64), quiet)
    train, validation = run.rows, run.validation
    pairs = [
        tuple(run.tokenizer.decode(part) for part in pair)
        for pair in train.batch(0) + next(validation.batches(99))
    ]
    assert len(pairs) > 4 and set(pairs) <= {tuple(line.split("\t")) for line in PAIRS.splitlines()}
    assert train.batch(3, 1, 3) == train.batch(3)[1:3] != train.batch(4)[1:3]
    assert run.data.meta["train"]["documents"] + run.data.meta["val"]["documents"] == 30


def test_long_pairs_are_shortened_to_the_context():
    ids = np.array([1, 2, 3, 4, 9, 5, 6])
    assert split_pair(ids, 9, 8) == ([1, 2, 3, 4], [5, 6])
    assert split_pair(ids, 9, 4) == ([1, 2], [5, 6])  # the longer one first


@pytest.mark.parametrize(
    "text, message",
    [
        ("one\ttwo\nthree\n", "line 2: 'three' is not sentence<TAB>translation"),
        ("one\ttwo\n", "1 lines .* are too few"),
        ("one\t\ntwo\tzwei\n", "line 1"),
    ],
)
def test_lines_that_are_no_pairs_are_named(tmp_path, text, message):
    config = config_for(tmp_path, "translation")
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        prepare_run(config, quiet)


def test_a_batch_that_would_repeat_the_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="batch_size 2000000: so many rows would repeat a text"):
        train_run(tiny_config(tmp_path, batch_size=2_000_000), None, lambda line: None)
