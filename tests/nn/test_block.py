"""A block adds its branches to the stream, and drops parts of them only where that was wanted."""

import numpy as np

import tinylm as tl
from tinylm.backend import Random
from tinylm.nn import Block
from tinylm.nn.block import ParallelBlock


def double(h, **options):
    return h * 2.0


def same(x):
    return x


X = tl.Tensor(np.arange(6.0).reshape(1, 2, 3))


def plain(x, branch, norm):
    return x + branch(norm(x))


def test_nothing_is_dropped_unless_it_is_wanted():
    # x + 2x, then 3x + 2 * 3x: every number is there, in training too.
    block = Block(double, double, [same, same], plain, Random(0)).train()
    np.testing.assert_array_equal(block(X).data, 9 * X.data)
    parallel = ParallelBlock(double, double, [same], Random(0)).train()
    np.testing.assert_array_equal(parallel(X).data, 5 * X.data)


def test_dropout_acts_on_branches_in_training_alone():
    block = Block(double, double, [same, same], plain, Random(0), dropout=0.5).train()
    stream = tl.Tensor(np.ones((1, 40, 10)))
    found = set(np.unique(block(stream).data))
    # A branch 2h is dropped (0) or doubled (4h): 1 -> 1 or 5, and again -> 1, 5 or 5, 25.
    assert found == {1.0, 5.0, 25.0}
    np.testing.assert_array_equal(block.eval()(stream).data, 9 * stream.data)
