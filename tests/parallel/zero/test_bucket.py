"""A bucket: slices that make up the whole, gradients that add up, parameters that come and go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.autograd import Tensor
from tinylm.errors import GraphError
from tinylm.nn.linear import undecayed
from tinylm.parallel.communicate.communicator import SingleProcess
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.zero.bucket import Bucket

SHAPES = {"a": (5, 7), "b": (11,), "c": (2, 3, 4)}


def tensors(shapes=SHAPES, seed=0):
    rng = np.random.default_rng(seed)
    return {n: Tensor(rng.normal(size=s), requires_grad=True) for n, s in shapes.items()}


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    ranks=st.integers(1, 5),
    stage=st.integers(0, 3),
)
def test_ranks_update_every_number_once_and_all_of_it_comes_back(sizes, ranks, stage):
    shapes = {str(i): (n,) for i, n in enumerate(sizes)}
    arrays = {n: p.data.copy() for n, p in tensors(shapes, 1).items()}

    def body(comm):
        bucket = Bucket(tensors(shapes), comm, stage)
        pieces = list(bucket.pieces())
        assert len(bucket.flat) == sum(stop - start for _, start, stop in pieces)
        assert len(bucket.flat) == np.subtract(*bucket.kept[::-1])
        bucket.load(arrays)
        whole = bucket.whole(bucket.flat.data)
        for name, array in arrays.items():
            np.testing.assert_array_equal(whole[name], array)
            np.testing.assert_array_equal(bucket.part(whole), bucket.flat.data)
            if stage < 3:
                np.testing.assert_array_equal(bucket.tensors[name].data, array)
        return [number for _, start, stop in pieces for number in range(start, stop)]

    found = simulate(body, ranks).results
    for numbers in found if stage == 0 else [sum(found, [])]:
        assert numbers == list(range(sum(sizes)))


@pytest.mark.parametrize("stage", range(4))
def test_gradients_of_all_ranks_and_passes_add_up_and_those_of_the_last_step_are_forgotten(stage):
    def body(comm):
        named = tensors()
        bucket = Bucket(named, comm, stage)
        for step in range(2):
            bucket.begin()
            for k in range(2):
                bucket.gather()
                bucket.open()
                for i, name in enumerate(("a", "c")):  # b has no gradient
                    p = named[name]
                    ((comm.rank + 1) * 10.0**k * (step + 2 + i) * p).sum().backward()
                bucket.release()
                if stage >= 2:
                    bucket.close()
            bucket.reduce()
        return bucket.own, bucket.flat.grad.copy(), bucket.kept

    expected = np.concatenate([np.full(35, 3 * 11 * 3.0), np.zeros(11), np.full(24, 3 * 11 * 4.0)])
    for own, grad, kept in simulate(body, 2).results:
        assert kept == (own if stage else (0, 70))
        np.testing.assert_array_equal(grad, expected[slice(*kept)])


def test_at_stage_3_parameters_are_there_from_gather_to_release_alone():
    def body(comm):
        named = tensors()
        bucket = Bucket(named, comm, 3)
        expected = tensors()
        for _ in range(2):
            for name, p in named.items():
                assert p.shape == expected[name].shape and np.isnan(p.data).all()
            bucket.gather()
            for name, p in named.items():
                np.testing.assert_array_equal(p.data, expected[name].data)
            bucket.release()
        return bucket.flat.data.size

    assert simulate(body, 3).results == [32, 32, 6]  # of 70, in cache lines of 16


def test_a_matrix_decays_in_pieces_and_a_vector_does_not():
    named = tensors()
    undecayed(named["c"])

    def body(comm):
        flat = Bucket(named, comm, 1).flat
        return [
            (n, flat.offsets[i + 1], p.decays)
            for i, (n, p) in enumerate(zip(flat.names, flat.tensors))
        ]

    assert simulate(body, 2).results[0] == [("a", 35, True), ("b", 46, False), ("c", 48, False)]


def test_a_graph_of_the_parameters_of_the_step_before_is_noticed():
    named = tensors()
    found = Bucket(named, SingleProcess(), 1)
    y = (named["a"] * named["a"]).sum()
    found.spread()
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()
