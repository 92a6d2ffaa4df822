"""The loss of a minibatch of responses, as the trainer of all training takes it.

    loss = loss of the method + beta KL, where the penalty is in the loss

Dropout is off: a ratio to log-probabilities without dropout would measure the noise first. Before
the first update on new responses every ratio must be 1, to the old log-probabilities and to those
that the sampler saw as it drew: what was sampled is what is differentiated, temperature included.
That is checked while training. What else is measured on the way is kept for the log. Read next:
trainer.py.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinylm.align.constant import constant
from tinylm.align.exact.expectations import entropy
from tinylm.align.logprobs import logprobs_of, response_logits
from tinylm.align.meter import LARGEST, Meter
from tinylm.align.policy.kl import k3
from tinylm.align.policy.surrogates import check_first_ratio
from tinylm.align.rewards.reward_model import response_values
from tinylm.align.rlhf.experience import PolicyBatch, Sample, make_policy_batch
from tinylm.align.rlhf.methods.method import Method, Now
from tinylm.align.rlhf.rollout import rounding
from tinylm.autograd import Tensor, log_softmax, no_grad
from tinylm.autograd.engine.tensor import array_of
from tinylm.backend import Random
from tinylm.nn import evaluating
from tinylm.train.alone import Alone

if TYPE_CHECKING:
    from tinylm.align.rlhf.models import ActorCritic


class PolicyObjective:
    """make_batch and loss for train.Trainer; its model is an ActorCritic.

    method       Method;  longest most tokens of a response
    temperature  of the distribution that is sampled
    beta         weight of the penalty now: it may adapt
    fresh        True until the first update on new responses
    """

    def __init__(
        self, method: Method, longest: int, temperature: float = 1.0, beta: float = 0.0
    ) -> None:
        self.method, self.longest, self.temperature = method, longest, temperature
        self.begin(beta)

    def begin(self, beta: float) -> None:
        """Start with new responses."""
        self.beta, self.fresh = beta, True
        self.meter = Meter()

    def make_batch(self, samples: Sequence[Sample], rng: Random | None = None) -> PolicyBatch:
        """list of Sample -> PolicyBatch."""
        return make_policy_batch(samples, self.method.how == "token")

    def loss(self, model: "ActorCritic", batch: PolicyBatch) -> tuple[Tensor, dict[str, float]]:
        """The method's loss of one part of a minibatch.

        returns  (Tensor (), {"tokens": weight of the rows, "loss": float})
        raises   DataError if responses are new and a ratio is not 1
        """
        with evaluating(model):
            logits, _ = response_logits(model.policy, batch, self.temperature)
            logp, counted = logprobs_of(logits, batch)
            values, total = None, None
            if model.value is not None:
                values = response_values(model.value, batch)
        if self.fresh:
            allowed = rounding(logp.dtype, self.temperature)
            largest = max(
                check_first_ratio(logp, seen, counted, allowed) for seen in (batch.old, batch.drawn)
            )
            self.meter.add({"tokens": batch.tokens, LARGEST: largest})
        if self.method.how == "fixed":
            total = len(batch) * self.method.unit(self.longest)
        now = Now(logp, counted, logits, values, total, self.longest)
        loss, found = self.method.loss(now, batch)
        loss = loss + self.method.penalty(now, batch, self.beta)
        self._measure(now, batch, {"loss": loss, **found})
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def _measure(self, now, batch, found):
        """Meter what the method reports, and how far the policy has moved."""
        # Means over tokens, also where the loss is a mean over responses; GSPO clips responses.
        counts = dict.fromkeys(("entropy", "moved", "clip_fraction"), int(now.counted.sum()))
        counts |= found.pop("counts", {})
        with no_grad():
            # of KL(pi_old || pi), for responses of pi_old: how far the updates have moved
            moved = k3(Tensor(constant(batch.old, now.logp)), now.logp)
            found = {
                "entropy": entropy(log_softmax(now.logits.detach())).data.mean(),
                "moved": moved.data[now.counted].mean(),
                **found,
            }
        figures = {name: float(array_of(value)) for name, value in found.items()}
        self.meter.add({**figures, "tokens": batch.tokens, "counts": counts})

    def measured(self, comm: Alone) -> dict[str, float]:
        """Means over all minibatches since begin(), of all workers: {name: float}."""
        return self.meter.means(comm)
