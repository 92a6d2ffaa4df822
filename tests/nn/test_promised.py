"""Weights that are drawn later are those that would have been drawn at once."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import WorkerError
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import Linear, fit_to_width, normal_parameter
from tinylm.nn.promised import Promised, described, kept, promised
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout, Mesh
from tinylm.parallel.together import Together

CONFIG = GPTConfig(31, 12, 3, 4, 16, n_kv_head=2, tied=False, positions="learned")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "changes", [{}, {"feed_forward": ("dense", "experts", "dense"), "experts": 3}]
)
def test_a_promised_model_is_the_model(dtype, changes):
    config = dataclasses.replace(CONFIG, **changes)
    expected = GPT(config, 5, dtype).named_parameters()
    with promised():
        later = GPT(config, 5, dtype).named_parameters()
    assert list(later.keys()) == list(expected.keys())
    assert sum(isinstance(p.data, Promised) for p in later.values()) > 10
    for name, parameter in later.items():
        assert parameter.shape == expected[name].shape and parameter.dtype == dtype
        np.testing.assert_array_equal(kept(parameter.data), expected[name].data)
        np.testing.assert_array_equal(kept(parameter.data), expected[name].data)  # once more


def test_a_promised_model_is_fitted_to_its_width_when_it_is_drawn():
    expected = fit_to_width(GPT(CONFIG, 5), 16).named_parameters()
    with promised():
        later = fit_to_width(GPT(CONFIG, 5), 16).named_parameters()
    assert sum(isinstance(p.data, Promised) for p in later.values()) > 10
    plain = GPT(CONFIG, 5).named_parameters()
    for name, parameter in later.items():
        np.testing.assert_array_equal(kept(parameter.data), expected[name].data)
        if parameter.ndim == 2:  # a promise of other numbers says so
            assert described(parameter.data) != described(plain[name].data)


def test_the_stream_goes_on_as_if_it_had_been_drawn_from():
    for shape in ((3, 5), (1, 1), (7,)):
        at_once, later = Random(3, "a"), Random(3, "a")
        at_once.normal((2,))
        later.normal((2,))
        normal_parameter(shape, at_once, 0.1)
        with promised():
            normal_parameter(shape, later, 0.1)
        assert later.counter == at_once.counter
        np.testing.assert_array_equal(later.normal((4,)), at_once.normal((4,)))


def test_outside_and_after_an_error_weights_are_drawn_at_once():
    with pytest.raises(ValueError), promised():
        raise ValueError
    assert not isinstance(Linear(2, 3, Random(0)).weight.data, Promised)


def test_promises_are_told_apart_without_drawing_them():
    def words(seed, std=0.1):
        with promised():
            return described(normal_parameter((2, 3), Random(seed), std).data)

    assert words(1) == words(1)
    assert len({words(1), words(2), words(1, 0.2)}) == 3
    array = np.arange(3.0)
    assert described(array) == array.tobytes()


def peak_of(make):
    tracemalloc.start()
    made = make()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, made


def test_stages_and_shares_alone_take_memory():
    config = GPTConfig(512, 64, 8, 8, 128)
    size = sum(p.data.nbytes for p in GPT(config, 5).named_parameters().values())

    def ranks(layout, later):
        def hold(comm):
            if not later:
                return Together(GPT(config, 5), Mesh(comm, layout))
            with promised():
                model = GPT(config, 5)
            return Together(model, Mesh(comm, layout))

        return lambda: simulate(hold, layout.size).results

    for layout in (Layout(pp=4), Layout(tp=4), Layout(tp=2, pp=2)):
        peak, held = peak_of(ranks(layout, True))
        assert peak < 1.7 * size  # of all ranks: one copy, and what is being cut
        assert sum(p.data.nbytes for t in held for p in t.parameters.values()) < 1.3 * size
        assert peak_of(ranks(layout, False))[0] > 3 * size


def test_ranks_with_other_seeds_are_noticed():
    def hold(comm):
        with promised():
            model = GPT(CONFIG, comm.rank)
        Together(model, Mesh(comm, Layout(tp=2)))

    with pytest.raises(WorkerError, match="the ranks have different weights"):
        simulate(hold, 2)
