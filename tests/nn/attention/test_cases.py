"""Every attention of these files has an entry for the gradient check."""

import inspect

import pytest

from tinylm.autograd import registry
from tinylm.nn.attention import linear_attention, sharing, sparse
from tinylm.nn.attention.cases import register  # noqa: F401  (the import registers)
from tinylm.nn.memory import retrieved, segments
from tinylm.nn.module import Module

# No functions of Tensors to differentiate, or checked under the name of what they are a part of
OTHERS = {
    "top_keys": "indices",
    "not_local": "a mask",
    "orthogonal_directions": "random",
    "initial_state": "zeros",
    "visible_softmax": "in sparse_attention",
    "gather_keys": "in sparse_attention",
    "relu_features": "is relu",
    "separate_attention": "in gated_attention",
    "compressive": "nn.memories.compressive",
    "pool_by_mean": "compressive",
    "pool_by_max": "nn.memories.max_pool",
    "ConvolutionPool": "nn.memories.ConvolutionPool",
    "shared_layers": "makes modules",
    "through": "in CrossLayerAttention",
}


@pytest.mark.parametrize(
    "module",
    [retrieved, linear_attention, segments, sharing, sparse],
    ids=lambda module: module.__name__.split(".")[-1],
)
def test_every_public_thing_has_an_entry(module):
    own = {
        name: f
        for name, f in vars(module).items()
        if getattr(f, "__module__", "") == module.__name__
    }
    public = {
        name
        for name, f in own.items()
        if not name.startswith("_")
        and (inspect.isfunction(f) or (inspect.isclass(f) and issubclass(f, Module)))
    }
    missing = {
        name for name in public - set(OTHERS) if not {name, f"nn.{name}"} & set(registry.load_all())
    }
    assert not missing, f"register cases for {sorted(missing)}, or say in this file why not"
