"""What a backward pass begins with."""

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd.engine.cotangent import cotangent_of
from tinylm.errors import ShapeError


def test_a_scalar_begins_with_one_of_its_own_dtype():
    g = cotangent_of(tl.Tensor(np.float32(3.0)), None)
    assert (g.item(), g.dtype, g.shape) == (1.0, np.float32, ())


def test_a_list_becomes_a_tensor_of_the_output_s_dtype():
    g = cotangent_of(tl.Tensor(np.zeros(2, np.float32)), [1, 2])
    assert g.dtype == np.float32 and g.tolist() == [1.0, 2.0]


def test_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ShapeError, match=r"\(3,\), the output \(2,\)"):
        cotangent_of(tl.Tensor(np.zeros(2)), np.zeros(3))
    with pytest.raises(ShapeError, match=r"the output has shape \(2,\)"):
        cotangent_of(tl.Tensor(np.zeros(2)), None)
