"""Pretraining objectives (book chapter 1 and section 2.1.2): turn sequences into a task, then score a model on it.

An objective has two methods. `make_batch(sequences, rng) -> Batch` is pure and seeded; `loss(model, batch)` gives
(mean loss in nats per target, {"tokens": targets that count, "loss": the mean as a float}). The trainer knows nothing
else about what is learnt.
"""
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.pretrain.causal import CausalLM, log_likelihood

__all__ = ["Batch", "CausalLM", "IGNORE", "log_likelihood"]
