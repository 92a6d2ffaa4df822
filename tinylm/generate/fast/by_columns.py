"""Weights laid out column by column, as a product with few rows reads them fastest.

A linear map x W holds W (D, F) row by row, which suits training. A step that decodes a batch has
few rows x, and autograd/kernels/few_rows.py multiplies them by the rows of W^T, if these are
contiguous. Read next: autograd/kernels/few_rows.py.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd.kernels.few_rows import pays
from tinylm.nn import Linear

if TYPE_CHECKING:
    from tinylm.models.decoder.gpt import GPT


def by_columns(model: "GPT") -> None:
    """Lay out the large matrices of a model's linear maps by columns, where few rows gain by it.

    Values and shapes stay as they are, and no second copy is kept. Reading a long text takes about
    1 % longer. Where nothing is gained (other processors, float64, a GPU) nothing changes.
    """
    for part in model.modules():
        if isinstance(part, Linear) and pays(part.weight.data.T):
            part.weight.data = np.asfortranarray(part.weight.data)
