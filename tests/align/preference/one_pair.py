"""The worked pair of answers, and what the tests of losses of pairs share."""

import math

import numpy as np

from tinylm.autograd import Tensor

EXACT = dict(rtol=1e-12, atol=1e-12)


def tensor(*values):
    return Tensor(np.array(values, float), requires_grad=True)


def sigma(x):
    return 1 / (1 + math.exp(-x))


# One pair, log-probabilities of whole responses: the policy prefers the chosen one by 3, the
# reference by 1.
CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED = -12.0, -15.0, -13.0, -14.0


def pair(*, chosen=CHOSEN, rejected=REJECTED):
    return tensor(chosen), tensor(rejected), np.array([REF_CHOSEN]), np.array([REF_REJECTED])
