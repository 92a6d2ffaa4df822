"""Pretraining over languages: translation LM, code switching, denoising   (XLM, mBART; book section
1.3.2.3, Fig. 1.7)

A sentence and its translation are packed as one sequence and masked in both languages, so that a
word may be predicted from the other language. A language may be told to the model by an embedding
of its own, or not at all; then one text may mix several. Read next: masked/masked.py, which is the
objective on text of one language.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tinylm.errors import ConfigError
from tinylm.pretrain.batch import TokenBatch, as_rows, pad_rows
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM
from tinylm.pretrain.discriminative.pairs import pack
from tinylm.pretrain.masked.masked import MaskedLM, without_padding
from tinylm.pretrain.score import score_tokens
from tinylm.pretrain.special import Special


def pack_bilingual(special, first, second, languages=(0, 1), restart=False):
    """A sentence and its translation as one sequence: [CLS] first [SEP] second [SEP].

    languages  ids of the two languages
    restart    positions of the second sentence count from 0 again   (Lample & Conneau 2019)
    returns    ids (n,), languages (n,), positions (n,)
    """
    ids, second_part = pack(special, first, second)
    at = np.arange(len(ids))
    start = int(np.argmax(second_part)) if restart else 0
    return (
        ids,
        np.where(second_part, languages[1], languages[0]),
        np.where(second_part, at - start, at),
    )


@dataclass(frozen=True)
class TranslationLM:
    """Masked LM on packed pairs of translations.

    masked     MaskedLM, with cls, sep and pad among its special ids
    languages  ids of the two languages, or None: the model is not told   (XLM-R)
    restart    positions of the translation count from 0 again
    """

    masked: MaskedLM
    languages: tuple | None = None
    restart: bool = False

    def make_batch(self, sequences, rng):
        """sequences: list of B pairs (first, second) of integer sequences -> TokenBatch, padded to
        the longest.
        """
        special = self.masked.special
        special.need("TranslationLM", "pad")
        packed = [
            pack_bilingual(special, *pair, self.languages or (0, 1), self.restart)
            for pair in sequences
        ]
        ids, _ = pad_rows([row[0] for row in packed], special.pad)
        languages, positions = (pad_rows([row[i] for row in packed], 0)[0] for i in (1, 2))
        inputs, targets = self.masked.corrupt(ids, rng)
        return TokenBatch(
            inputs,
            targets,
            without_padding(ids, special),
            languages=languages if self.languages else None,
            positions=positions if self.restart else None,
        )

    def loss(self, model, batch):
        """As MaskedLM's; the model is given languages= and positions= where the batch has them."""
        return score_tokens(model, batch)


def switch_code(ids, chosen, dictionary, draws):
    """Chosen words said in another language.

    ids         (...) integers;  chosen (...) bool
    dictionary  (V, n) integers: up to n translations of every id, -1 where there are none or no
                more
    draws       (...) uniform numbers, which translation is taken
    returns     (...) integers; a word without translations stays
    """
    count = np.sum(dictionary >= 0, axis=1)[ids]  # (...)
    said = dictionary[ids, np.minimum((draws * count).astype(np.int64), dictionary.shape[1] - 1)]
    return np.where(chosen & (count > 0), said, ids)


@dataclass(frozen=True)
class CodeSwitched:
    """Masked LM on text in which some words are said in another language   (Yang et al. 2020; book
    section 1.3.2.3).

    masked      MaskedLM, which also predicts the words that were switched
    dictionary  (V, n) integers, as in switch_code; its translations stand first in a row
    rate        share of the words switched, where there is a translation
    """

    masked: MaskedLM
    dictionary: np.ndarray
    rate: float = 0.2

    def __post_init__(self):
        if self.dictionary.ndim != 2 or self.dictionary.shape[0] != self.masked.special.vocab_size:
            raise ConfigError(
                f"CodeSwitched: the dictionary has shape {self.dictionary.shape}, needs (V, n) with "
                f"V = {self.masked.special.vocab_size}"
            )

    def make_batch(self, sequences, rng):
        """sequences (B, T) -> TokenBatch, as MaskedLM's."""
        ids = as_rows(sequences, "CodeSwitched.make_batch")
        draws = rng.uniform((*ids.shape, 2), np.float64)
        return self.masked.make_batch(
            switch_code(ids, draws[..., 0] < self.rate, self.dictionary, draws[..., 1]), rng
        )

    def loss(self, model, batch):
        """As MaskedLM's."""
        return self.masked.loss(model, batch)


@dataclass(frozen=True)
class MultilingualLM:
    """One encoder-decoder for several languages, told which to speak (mBART; Liu et al. 2020; book
    section 1.2.3.1)

    The id of its language closes every source, and the decoder reads it first, in place of <s>: a
    model that has learnt to mend texts of each language can then be asked for another one than it
    reads.

    special  Special; its `others` are the ids of languages
    task     (ids (T,), draws (5, T + 1)) -> (source, target): any of Seq2SeqLM, BART's corruptions
             in the paper
    """

    special: Special
    task: Callable

    def make_batch(self, sequences, rng):
        """sequences (B, T + 1) integers, the language and then the text -> Seq2SeqBatch.

        raises   ConfigError if a row does not begin with a language
        """
        sequences = as_rows(sequences, "MultilingualLM.make_batch", shortest=2)
        strange = np.flatnonzero(~np.isin(sequences[:, 0], self.special.others))
        if len(strange):
            raise ConfigError(
                f"MultilingualLM: row {strange[0]} begins with {sequences[strange[0], 0]}, which is none of the "
                f"languages {self.special.others}: put its language in front"
            )
        batch = Seq2SeqLM(self.special, self._told).make_batch(sequences, rng)
        return replace(
            batch, decoder=np.concatenate([sequences[:, :1], batch.decoder[:, 1:]], axis=1)
        )

    def _told(self, row, draws):
        source, target = self.task(row[1:], draws[:, : len(row)])
        return np.concatenate([source, row[:1]]), target

    def loss(self, model, batch):
        """As Seq2SeqLM's."""
        return Seq2SeqLM(self.special, self.task).loss(model, batch)
