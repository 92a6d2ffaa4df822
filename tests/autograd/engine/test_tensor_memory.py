"""What a graph keeps alive: nothing in cycles, nothing after backward, little on the way."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import leaf
from tinylm.autograd import checkpoint
from tinylm.models import GPT, GPTConfig


@pytest.fixture
def no_collector():
    """Only reference counts free memory: a cycle would stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


BUILDS = {
    "primitives": lambda x: (tl.exp(x) * x + tl.sqrt(x * x + 1.0)).max(axis=1).sum(),
    "views": lambda x: x[:, 1:].reshape(-1).T.sum(),
    "fused": lambda x: tl.cross_entropy(tl.gelu(tl.layer_norm(x, x[0])), np.array([0, 1])),
    "attention": lambda x: tl.self_attention(x[None], 1, 1).sum(),
    "checkpoint": lambda x: checkpoint(lambda a: tl.silu(a) * a, x).sum(),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_graph_dies_with_its_last_name(no_collector, build):
    x = leaf(np.ones((2, 6)))
    middle = x * 2.0
    y = build(middle)
    watched = [weakref.ref(middle), weakref.ref(y), weakref.ref(y._node), weakref.ref(middle._node)]
    del y, middle
    assert [w() for w in watched] == [None] * 4


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_nothing_is_left_after_a_backward(no_collector, build, create_graph):
    x = leaf(np.linspace(-1, 1, 12).reshape(2, 6))
    middle = x * 2.0
    y = build(middle)
    g = tl.grad(y, [x], create_graph=create_graph)
    watched = [weakref.ref(middle), weakref.ref(y), weakref.ref(y._node)]
    del y, middle, g
    assert [w() for w in watched] == [None] * 3


def test_retain_grad_makes_no_cycle(no_collector):
    x = leaf([1.0])
    y = (x * 2.0).retain_grad()
    watched = weakref.ref(y)
    del y
    assert watched() is None


def test_backward_frees_the_graph_as_it_goes():
    # 64 layers of tanh keep one 128 kB result each (8 MB in all). Going back, each is dropped once
    # used, so the peak during backward stays near what forward had, not twice that; three arrays
    # are in flight at a time.
    n, layers = 16384, 64
    x = leaf(np.ones(n))
    tracemalloc.start()
    y = x
    for _ in range(layers):
        y = tl.tanh(y)
    y = y.sum()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    y.backward()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held > layers * n * 8
    assert peak < held + 5 * n * 8
    assert after < 4 * n * 8  # y, x.grad and small change


def test_an_input_is_freed_where_no_rule_reads_it():
    x = leaf(np.ones(1000))
    a = x + 2.0
    held = weakref.ref(a.data)
    y = (a + 1.0).sum()  # add and sum keep shapes only
    del a
    assert held() is None
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 1.0)


def test_a_whole_training_step_of_a_gpt_leaves_no_garbage(no_collector):
    model = GPT(GPTConfig(vocab_size=7, context=6, n_layer=2, n_head=2, d_model=8, dropout=0.1))
    ids = np.arange(6)[None] % 7
    gc.collect()  # what importing and building left behind
    loss = tl.cross_entropy(model(ids), ids)
    node = weakref.ref(loss._node)
    loss.backward()
    del loss
    assert node() is None
    assert gc.collect() == 0  # not one object was waiting in a cycle
