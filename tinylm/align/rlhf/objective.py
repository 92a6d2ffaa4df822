"""The loss of a minibatch of responses, as the trainer of all training takes it.

    loss = loss of the method + beta KL, where the penalty is in the loss

Dropout is off: a ratio to log-probabilities without dropout would measure the noise first. Before
the first update on new responses every ratio must be 1; that is checked while training. What else
is measured on the way is kept for the log. Read next: trainer.py.
"""

import numpy as np

from tinylm.align.exact.expectations import entropy
from tinylm.align.logprobs import logprobs_of, response_logits
from tinylm.align.policy.kl import k3
from tinylm.align.policy.surrogates import check_first_ratio
from tinylm.align.rlhf.experience import make_policy_batch
from tinylm.align.rlhf.methods.method import Now
from tinylm.align.rlhf.rollout import rounding
from tinylm.autograd import Tensor, log_softmax, no_grad
from tinylm.nn import evaluating


class PolicyObjective:
    """make_batch and loss for train.Trainer; its model is an ActorCritic.

    method       Method;  longest most tokens of a response
    temperature  of the distribution that is sampled
    beta         weight of the penalty now: it may adapt
    fresh        True until the first update on new responses
    """

    def __init__(self, method, longest, temperature=1.0, beta=0.0):
        self.method, self.longest, self.temperature = method, longest, temperature
        self.beta, self.fresh = beta, True
        self.sums, self.largest_ratio = {}, 0.0

    def begin(self, beta):
        """Start with new responses."""
        self.beta, self.fresh = beta, True
        self.sums, self.largest_ratio = {}, 0.0

    def make_batch(self, samples, rng=None):
        """list of Sample -> PolicyBatch."""
        return make_policy_batch(samples, self.method.how == "token")

    def loss(self, model, batch):
        """The method's loss of one part of a minibatch.

        returns  (Tensor (), {"tokens": weight of the rows, "loss": float})
        raises   DataError if responses are new and a ratio is not 1
        """
        with evaluating(model):
            logits, _ = response_logits(model.policy, batch, self.temperature)
            logp, counted = logprobs_of(logits, batch)
            values, total = None, None
            if model.value is not None:
                values = model.value(batch.inputs, batch.mask)
        if self.fresh:
            largest = check_first_ratio(logp, batch.old, counted, rounding(logp.dtype))
            self.largest_ratio = max(self.largest_ratio, largest)
        if self.method.how == "fixed":
            total = len(batch) * self.method.unit(self.longest)
        now = Now(logp, counted, logits, values, total, self.longest)
        loss, found = self.method.loss(now, batch)
        loss = loss + self.method.penalty(now, batch, self.beta)
        self._measure(now, batch, {"loss": loss, **found})
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def _measure(self, now, batch, found):
        """Add to the sums that measured() divides."""
        with no_grad():
            # of KL(pi_old || pi), for responses of pi_old: how far the updates have moved
            moved = k3(Tensor(np.asarray(batch.old, now.logp.dtype)), now.logp)
            found = {
                "entropy": entropy(log_softmax(now.logits.detach())).data.mean(),
                "moved": moved.data[now.counted].mean(),
                **found,
            }
        for name, value in found.items():
            if isinstance(value, Tensor):
                value = value.item()
            total, weight = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = total + batch.tokens * float(value), weight + batch.tokens

    def measured(self, comm):
        """Means over all minibatches since begin(), of all workers: {name: float}."""
        names = sorted(self.sums)
        sums = comm.all_reduce(np.array([self.sums[name] for name in names], np.float64))
        found = {name: float(total / weight) for name, (total, weight) in zip(names, sums)}
        largest = comm.all_reduce(np.array(self.largest_ratio), "max")
        return {**found, "largest_ratio": float(largest)}
