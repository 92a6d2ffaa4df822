"""Pretraining objectives (book chapter 1 and section 2.1.2): turn sequences into a task, then score
a model on it.

An objective has two methods. `make_batch(sequences, rng) -> Batch` is pure and seeded; `loss(model,
batch)` gives (mean loss in nats per target, {"tokens": targets that count, "loss": the mean as a
float}). The trainer uses nothing else of an objective. Read batch.py and special.py, then
the rooms: the families of the book's Table 1.1 (permuted language modeling lives in masked/), and
what came before them:

    language        causal, prefix, fill in the middle, several tokens at once
    masked          BERT, spans, XLNet's permutations
    discriminative  pairs of sentences, ELECTRA, contrast
    denoising       BART, T5, UL2
    early           layer by layer, self-training, co-training

objectives.py names them all, with a Recipe of what each needs; table.py derives Table 1.1;
languages.py, visible.py and words.py serve several of them.
"""

from tinylm.pretrain.batch import IGNORE, Batch, Seq2SeqBatch, TokenBatch
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM
from tinylm.pretrain.discriminative.replaced import ReplacedTokens
from tinylm.pretrain.language.causal import CausalLM, log_likelihood
from tinylm.pretrain.language.multi_token import MultiTokenHeads, MultiTokenLM
from tinylm.pretrain.language.prefix import PrefixLM
from tinylm.pretrain.masked.masked import MaskedLM, StaticMasks
from tinylm.pretrain.masked.permuted import PermutedLM
from tinylm.pretrain.objectives import OBJECTIVES, objective
from tinylm.pretrain.special import Special

__all__ = [
    "Batch",
    "CausalLM",
    "IGNORE",
    "MaskedLM",
    "MultiTokenHeads",
    "MultiTokenLM",
    "OBJECTIVES",
    "PermutedLM",
    "PrefixLM",
    "ReplacedTokens",
    "Seq2SeqBatch",
    "Seq2SeqLM",
    "Special",
    "StaticMasks",
    "TokenBatch",
    "log_likelihood",
    "objective",
]
