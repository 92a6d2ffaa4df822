import math

import numpy as np

from tinylm.align.meter import Meter


def test_means_weigh_each_batch_by_what_its_loss_is_a_mean_of():
    meter = Meter()
    meter.add({"tokens": 3, "loss": 1.0, "largest_ratio": 2.0})
    meter.add({"tokens": 1, "loss": 5.0, "largest_ratio": 0.5})
    assert meter.means() == {"loss": 2.0, "largest_ratio": 2.0}  # (3 x 1 + 1 x 5) / 4, the maximum
    assert meter.means() == {}  # each mean is of what came since the last


def test_means_of_workers_weigh_each_by_what_it_has_metered():
    class Other:
        """A second worker: 5 tokens of mean loss 2 beside 3 of mean 1, and a larger ratio."""

        def all_reduce(self, array, op="sum"):
            if op == "max":
                return np.maximum(array, 7.0)
            return array + [[10.0, 5.0], [7.0, 1.0]]

    meter = Meter()
    meter.add({"tokens": 3, "loss": 1.0, "largest_ratio": 2.0})
    assert meter.means(Other()) == {"loss": 13 / 8, "largest_ratio": 7.0}
    assert meter.means() == {}


def test_a_figure_of_some_rows_weighs_by_its_own_number():
    meter = Meter()
    meter.add({"tokens": 4, "loss": 1.0, "reward_good": 2.0, "counts": {"reward_good": 1}})
    meter.add({"tokens": 4, "loss": 3.0, "reward_good": 6.0, "counts": {"reward_good": 3}})
    assert meter.means() == {"loss": 2.0, "reward_good": 5.0}  # (1 x 2 + 3 x 6) / 4


def test_what_is_not_there_is_left_out():
    meter = Meter()
    meter.add({"tokens": 2, "loss": 1.0, "reward_good": math.nan})
    meter.add({"tokens": 2, "loss": 3.0, "reward_good": 7.0})
    assert meter.means() == {"loss": 2.0, "reward_good": 7.0}
