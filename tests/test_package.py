"""What a user types: `import tinylm as tl` and the few names behind it."""

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

import tinylm as tl

# The operations the engine promises, under NumPy's names, and the fused ones under the
# literature's.
PRIMITIVES = """add sub mul div power neg exp log sqrt tanh sigmoid erf sin cos abs maximum minimum where sum mean max
min logsumexp cumsum matmul einsum reshape transpose broadcast_to concatenate stack split pad getitem scatter_add
take_along_axis sort topk clip flip roll expand_dims squeeze swapaxes astype""".split()
FUSED = """linear unembedding embedding layer_norm rms_norm softmax log_softmax cross_entropy gelu gelu_tanh silu relu
swiglu geglu dropout rotary attention self_attention""".split()
TOOLS = """Tensor grad no_grad is_recording first_order_only checkpoint primitive fused count_operations find_nonfinite
Random""".split()


@pytest.mark.parametrize("name", [*PRIMITIVES, *FUSED, *TOOLS])
def test_every_promised_name_is_there_and_documented(name):
    assert getattr(tl, name).__doc__, name


@pytest.mark.parametrize(
    "name",
    [
        "autograd",
        "backend",
        "data",
        "errors",
        "generate",
        "models",
        "nn",
        "optim",
        "tokenizers",
        "train",
    ],
)
def test_every_floor_is_reached_by_its_name(name):
    assert getattr(tl, name).__name__ == f"tinylm.{name}"
    assert name in dir(tl)


def test_dir_shows_what_a_user_types_and_nothing_else():
    shown = dir(tl)
    assert shown == sorted(set(shown)) and {"Tensor", "load", "nn", "softmax"} <= set(shown)
    internals = {"importlib", "annotations", "TYPE_CHECKING", "composed", "engine", "methods"}
    assert not internals & set(shown) and not [name for name in shown if name.startswith("_")]
    for name in shown:
        assert getattr(tl, name) is not None, name


def test_all_is_what_a_star_import_brings():
    names = {}
    exec("from tinylm import *", names)
    assert set(tl.__all__) <= set(names) and "nn" not in names
    assert set(tl.__all__) <= set(dir(tl))


@pytest.mark.parametrize("package", [tl.autograd, tl.nn, tl.optim])
def test_each_face_lists_the_names_that_it_imports(package):
    imported = {
        name
        for name, value in vars(package).items()
        if getattr(value, "__module__", "").startswith("tinylm.") and not name.startswith("_")
    }
    listed = [name for name in package.__all__ if hasattr(package, name)]
    assert listed == package.__all__ == sorted(package.__all__)
    assert imported <= set(package.__all__)


def test_the_package_says_that_its_type_hints_count():
    assert (resources.files("tinylm") / "py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tinylm' has no attribute 'nothing'"):
        tl.nothing  # noqa: B018


def test_the_first_example_works():
    x = tl.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_star_names_do_not_break_python_in_a_fresh_interpreter():
    code = "import tinylm as tl; print(sum([1, 2]), max(1, 2), tl.sum(tl.Tensor([1.0, 2.0])).item(), tl.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:3] == ["3", "2", "3.0"]
