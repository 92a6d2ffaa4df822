"""Pretraining objectives (book chapter 1 and section 2.1.2): turn sequences into a task, then score a model on it.

An objective has two methods. `make_batch(sequences, rng) -> Batch` is pure and seeded; `loss(model, batch)` gives
(mean loss in nats per target, {"tokens": targets that count, "loss": the mean as a float}). The trainer knows nothing
else about what is learnt. objectives.py names them all; table.py works out the book's table of them. Read in this order:
causal.py, masked.py, prefix.py, permuted.py, pairs.py, replaced.py, seq2seq.py, sentinels.py, noise.py.
"""
from tinylm.pretrain.batch import IGNORE, Batch, Seq2SeqBatch, TokenBatch
from tinylm.pretrain.causal import CausalLM, log_likelihood
from tinylm.pretrain.masked import MaskedLM, StaticMasks
from tinylm.pretrain.multi_token import MultiTokenHeads, MultiTokenLM
from tinylm.pretrain.objectives import OBJECTIVES, objective
from tinylm.pretrain.permuted import PermutedLM
from tinylm.pretrain.prefix import PrefixLM
from tinylm.pretrain.replaced import ReplacedTokens
from tinylm.pretrain.seq2seq import Seq2SeqLM
from tinylm.pretrain.special import Special

__all__ = ["Batch", "CausalLM", "IGNORE", "MaskedLM", "MultiTokenHeads", "MultiTokenLM", "OBJECTIVES", "PermutedLM", "PrefixLM",
           "ReplacedTokens", "Seq2SeqBatch", "Seq2SeqLM", "Special", "StaticMasks", "TokenBatch", "log_likelihood", "objective"]
