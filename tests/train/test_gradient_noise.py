"""Why larger batches are steadier: the noise of a gradient falls as one over the batch size   (book
section 2.2.2).
"""

import numpy as np

from tests.train.tiny import T, V, tiny_model
from tinylm.optim import FlatParameters
from tinylm.pretrain import CausalLM

ROWS, DRAWS = 64, 3000


def gradient(model, flat, batch):
    flat.zero_grad()
    CausalLM().loss(model, batch)[0].backward()
    flat.collect()
    return flat.grad.copy()


def test_the_variance_of_a_batch_gradient_falls_as_one_over_the_batch_size(rng):
    model = tiny_model()
    flat = FlatParameters(model.named_parameters())
    batch = CausalLM().make_batch(rng.integers(0, V, (ROWS, T + 1)))
    rows = np.stack([gradient(model, flat, batch.rows(i, i + 1)) for i in range(ROWS)])
    whole = gradient(model, flat, batch)
    np.testing.assert_allclose(
        rows.mean(0), whole, rtol=1e-9, atol=1e-13
    )  # rows count alike: a plain mean
    gram = (rows - whole) @ (rows - whole).T  # distances need products of rows only
    one = np.trace(gram) / ROWS
    for size in (1, 4, 16):
        counts = (
            rng.multinomial(size, [1 / ROWS] * ROWS, DRAWS) / size
        )  # batches drawn with replacement
        measured = np.einsum("di,ij,dj->d", counts, gram, counts, optimize=True).mean()
        # 3,000 draws of a squared length whose deviation is below its mean: within 5/sqrt(3000) = 9
        # %
        assert abs(measured * size / one - 1) < 0.09
