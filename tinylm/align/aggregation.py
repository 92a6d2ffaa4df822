"""From a number for each token to one loss: three means, and what each is a mean of.

    "token"      (1 / sum_b |y_b|) sum_b sum_t v_bt       every token weighs the same
    "sequence"   (1 / B) sum_b (1 / |y_b|) sum_t v_bt     every response weighs the same
    "fixed"      (1 / total) sum_b sum_t v_bt             a constant, so that no length divides

A batch that is cut (micro-batches, workers) has the gradient of the whole one if each part divides
by the count of the whole: `total`. A mean of means of parts weighs tokens of short parts more.
DAPO and TRL's GRPO take "token", the paper of GRPO "sequence", Dr. GRPO "fixed".
"""

import numpy as np

from tinylm.autograd import Tensor, where
from tinylm.autograd import sum as sum_
from tinylm.errors import ConfigError, DataError, ShapeError

AGGREGATIONS = ("token", "sequence", "fixed")


def aggregate(
    values: Tensor, counted: np.ndarray, how: str = "token", total: int | None = None
) -> Tensor:
    """The mean of the values that count.

    values   (B, T) Tensor; what stands where nothing counts may be inf or nan
    counted  (B, T) bool
    how      one of AGGREGATIONS
    total    what the sum is divided by: counted tokens ("token") or sequences ("sequence") of the
             whole batch, by default of this one; the constant of "fixed"
    returns  Tensor ()
    raises   DataError if nothing counts, ConfigError for another `how` or a total not above 0
    """
    if values.ndim != 2 or values.shape != counted.shape:
        raise ShapeError(f"aggregate: values {values.shape}, counted {counted.shape}: need (B, T)")
    if how not in AGGREGATIONS:
        raise ConfigError(f"aggregate: {how!r} is not one of {', '.join(AGGREGATIONS)}")
    if how == "fixed" and total is None:
        raise ConfigError("aggregate: 'fixed' divides by a constant: give total=")
    if total is not None and not total > 0:
        raise ConfigError(f"aggregate: total is {total}, it must be above 0")
    lengths = counted.sum(axis=1)  # (B,)
    if total is None and not lengths.any():
        raise DataError("aggregate: no token counts, so there is nothing to take the mean of")
    sums = sum_(where(counted, values, 0.0), axis=1)  # (B, T) -> (B,)
    if how == "sequence":
        # A row without a token is 0 / 1, and still a sequence.
        sums = sums / lengths.clip(1).astype(values.dtype)
        total = total or len(lengths)
    return sum_(sums) / float(total or lengths.sum())
