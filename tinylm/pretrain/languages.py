"""Pretraining over languages: translation LM, code switching, denoising   (XLM, mBART; book section
1.3.2.3, Fig. 1.7)

A sentence and its translation are packed as one sequence and masked in both languages, so that a
word may be predicted from the other language. Every language may have an embedding, or none; then
one text may mix several. Read next: masked/masked.py, the objective on text of one language.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError
from tinylm.pretrain.batch import Batch, TokenBatch, as_rows, pad_rows
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM
from tinylm.pretrain.discriminative.pairs import pack
from tinylm.pretrain.masked.choose import choose_tokens
from tinylm.pretrain.masked.masked import MaskedLM, without_padding
from tinylm.pretrain.score import score_tokens
from tinylm.pretrain.special import Special


def pack_bilingual(
    special: Special,
    first: ArrayLike,
    second: ArrayLike,
    languages: tuple[int, ...] = (0, 1),
    restart: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sentence and its translation as one sequence: [CLS] first [SEP] second [SEP].

    languages  ids of the two languages
    restart    positions of the second sentence count from 0 again   (Lample & Conneau 2019)
    returns    ids (n,), languages (n,), positions (n,)
    """
    ids, second_part = pack(special, first, second)  # (n,) each; 1 after the first [SEP]
    at = np.arange(len(ids))
    if restart:
        start = int(np.argmax(second_part))
        at = np.where(second_part, at - start, at)
    return ids, np.where(second_part, languages[1], languages[0]), at


@dataclass(frozen=True)
class TranslationLM:
    """Masked LM on packed pairs of translations.

    masked     MaskedLM, with cls, sep and pad among its special ids
    languages  ids of the two languages, or None: the model has no embeddings of them   (XLM-R)
    restart    positions of the translation count from 0 again
    """

    masked: MaskedLM
    languages: tuple | None = None
    restart: bool = False

    def make_batch(self, sequences: Sequence, rng: Random) -> Batch:
        """sequences: list of B pairs (first, second) of integer sequences -> TokenBatch, padded to
        the longest.
        """
        special = self.masked.special
        special.need("TranslationLM", "pad")
        both = self.languages or (0, 1)
        packed = [pack_bilingual(special, *pair, both, self.restart) for pair in sequences]
        rows, languages, positions = zip(*packed)
        ids, _ = pad_rows(rows, special.pad)  # (B, T), T of the longest pair
        inputs, targets = self.masked.corrupt(ids, rng)
        more = {}
        if self.languages:
            more["languages"] = pad_rows(languages, 0)[0]
        if self.restart:  # by default positions are 0 .. T-1, as the model counts itself
            more["positions"] = pad_rows(positions, 0)[0]
        return TokenBatch(inputs, targets, without_padding(ids, special), **more)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """As MaskedLM's; the model gets languages= and positions= where the batch has them."""
        return score_tokens(model, batch)


@dataclass(frozen=True)
class OneLanguage:
    """A chooser for TranslationLM: all that is masked in a row is in one of its two sentences.

    The other stays whole, so that every masked word can be read from its translation, and at high
    rates from little else. XLM masks both sentences (Lample & Conneau 2019).

    sep  the id of [SEP], which ends the first sentence
    """

    sep: int

    def __call__(
        self, ids: np.ndarray, eligible: np.ndarray, rng: Random, rate: float = 0.5
    ) -> np.ndarray:
        """ids (B, T), eligible (B, T) bool; rate of the chosen sentence -> bool (B, T)."""
        second = np.cumsum(ids == self.sep, axis=1) > 0  # (B, T): after the first [SEP], and it
        # a coin a row
        side = rng.uniform((len(ids), 1), np.float64) < 0.5
        return choose_tokens(ids, eligible & (second == side), rng, rate)


def switch_code(
    ids: np.ndarray, chosen: np.ndarray, dictionary: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """Chosen words replaced by their translations.

    ids         (...) integers;  chosen (...) bool
    dictionary  (V, n) integers: up to n translations of every id, -1 where there are none or no
                more
    draws       (...) uniform numbers, which translation is taken
    returns     (...) integers; a word without translations stays
    """
    count = np.sum(dictionary >= 0, axis=1)[ids]  # (...): translations of each token
    which = (draws * count).astype(np.int64)  # uniform in 0 .. count-1
    which = np.minimum(which, dictionary.shape[1] - 1)  # inside the table even for a draw of 1
    translated = dictionary[ids, which]
    return np.where(chosen & (count > 0), translated, ids)


@dataclass(frozen=True)
class CodeSwitched:
    """Masked LM on text in which some words are translated   (Yang et al. 2020; section 1.3.2.3).

    masked      MaskedLM, which also predicts the words that were switched
    dictionary  (V, n) integers, as in switch_code; its translations stand first in a row
    rate        share of the words switched, where there is a translation
    """

    masked: MaskedLM
    dictionary: np.ndarray
    rate: float = 0.2

    def __post_init__(self) -> None:
        if self.dictionary.ndim != 2 or self.dictionary.shape[0] != self.masked.special.vocab_size:
            raise ConfigError(
                f"CodeSwitched: the dictionary has shape {self.dictionary.shape}, needs (V, n) "
                f"with V = {self.masked.special.vocab_size}"
            )

    def make_batch(self, sequences: np.ndarray, rng: Random) -> Batch:
        """sequences (B, T) -> TokenBatch, as MaskedLM's."""
        ids = as_rows(sequences, "CodeSwitched.make_batch")
        draws = rng.uniform((*ids.shape, 2), np.float64)  # (B, T, 2): switched?, by which?
        chosen = draws[..., 0] < self.rate
        switched = switch_code(ids, chosen, self.dictionary, draws[..., 1])
        return self.masked.make_batch(switched, rng)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """As MaskedLM's."""
        return self.masked.loss(model, batch)


@dataclass(frozen=True)
class MultilingualLM:
    """One encoder-decoder for several languages   (mBART; Liu et al. 2020; book section 1.2.3.1)

    The id of its language closes every source, and the decoder reads it first, in place of <s>. A
    model that has learnt to restore texts of each language can then be given another language for
    its output than it reads: it translates.

    special  Special; its `others` are the ids of languages
    task     (ids (T,), draws (5, T + 1)) -> (source, target): any of Seq2SeqLM, BART's corruptions
             in the paper
    """

    special: Special
    task: Callable

    def make_batch(self, sequences: np.ndarray, rng: Random) -> Batch:
        """sequences (B, T + 1) integers, the language and then the text -> Seq2SeqBatch.

        raises   ConfigError if a row does not begin with a language
        """
        sequences = as_rows(sequences, "MultilingualLM.make_batch", shortest=2)
        strange = np.flatnonzero(~np.isin(sequences[:, 0], self.special.others))
        if len(strange):
            raise ConfigError(
                f"MultilingualLM: row {strange[0]} begins with {sequences[strange[0], 0]}, "
                f"which is none of the languages {self.special.others}: put its language in front"
            )
        batch = Seq2SeqLM(self.special, self._with_language).make_batch(sequences, rng)
        # (B, T): the language in place of <s>
        decoder = np.concatenate([sequences[:, :1], batch.decoder[:, 1:]], axis=1)
        return replace(batch, decoder=decoder)

    def _with_language(self, row, draws):
        """The task of a row (T + 1,) whose first id is its language, which closes the source."""
        source, target = self.task(row[1:], draws[:, : len(row)])
        return np.concatenate([source, row[:1]]), target

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """As Seq2SeqLM's."""
        return Seq2SeqLM(self.special, self.task).loss(model, batch)
