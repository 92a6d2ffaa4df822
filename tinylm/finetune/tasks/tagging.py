"""A tag for every word: parts of speech, named entities   (book section 1.4.4, eq. 1.23).

    Loss = -(1/m) sum_{i=1..m} log p_i(tag_i)

The tag of a word is predicted from the state of its first piece; [CLS], [SEP] and the other pieces
have none. Entities are spans of words, written as tags: B-ORG begins one of type ORG, I-ORG
continues it, O is outside of all (Ramshaw & Marcus 1995). Words tagged one by one can give an
invalid sequence, such as an I with no B before it; crf.viterbi finds the best valid one. A small
encoder needs to see the form of a word too: word_forms.py. Read next: crf.py; word_forms.py;
spans.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, dropout, log_softmax, where
from tinylm.backend import Random, to_cpu
from tinylm.data.read.bio import bio_decode, mark_of
from tinylm.errors import DataError
from tinylm.finetune import metrics
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.crf import LinearChain, viterbi
from tinylm.finetune.tasks.heads import hidden_states, innermost
from tinylm.finetune.tasks.word_forms import WordForms
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE, TokenBatch, pad_rows
from tinylm.pretrain.score import score


def bio_constraints(tags: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Valid transitions: I-X only after B-X or I-X, and no I at the beginning.

    tags     names of the K tags
    returns  (K, K) and (K,) float arrays of 0 and -inf, for viterbi's transitions and start
    """

    def type_of(tag, marks):
        """The type of a tag with one of these marks, else None."""
        if mark_of(tag) in marks:
            return tag.partition("-")[2]
        return None

    needed = [type_of(tag, ("I",)) for tag in tags]  # what must be open before a tag
    opened = [type_of(tag, ("B", "I")) for tag in tags]  # what is open after it
    allowed = [[after is None or before == after for after in needed] for before in opened]
    at_start = [after is None for after in needed]
    return np.where(allowed, 0.0, -np.inf), np.where(at_start, 0.0, -np.inf)


@dataclass(frozen=True)
class WordBatch(TokenBatch):
    """A TokenBatch with an answer a word: targets (B, m), IGNORE behind the words of a row.

    words   (B, m) index of each word's first piece;  held (B, m) bool, True for words
    parts, characters   (B, m, N) and (B, m, C), what WordForms.batch() gives, or None
    """

    words: np.ndarray = None
    held: np.ndarray = None
    parts: np.ndarray | None = None
    characters: np.ndarray | None = None


def word_states(model: Module, batch: Any) -> Tensor:
    """The state of each word of a WordBatch, that of its first piece: (B, m, D)."""
    h = hidden_states(model, batch.inputs, **batch.options)  # (B, T, D)
    rows = np.arange(len(batch.words), like=batch.words)[:, None]  # (B, 1)
    return h[rows, batch.words]  # (B, 1), (B, m) -> (B, m, D)


class TokenClassifier(Module):
    """An encoder with a linear layer on the state of every word.

    encoder  Encoder or GPT, or one behind a prompt or prefix; not copied
    tags     K, their number
    crf      with a LinearChain over the tags of a sentence
    forms    modules that read the form of a word, such as PartVectors and CharacterCNN of
             word_forms.py: what they give is added to the word's state
    """

    def __init__(
        self, encoder: Encoder, tags: int, crf: bool = False, seed: int = 0, forms: tuple = ()
    ) -> None:
        model = innermost(encoder)
        dtype = model.tokens.weight.dtype
        self.encoder, self.rng = encoder, model.rng
        self.out = Linear(model.config.d_model, tags, Random(seed, "head"), dtype=dtype)
        self.chain = LinearChain(tags, dtype) if crf else None
        self.forms = list(forms)
        self.to(model.tokens.weight.device)

    def __call__(self, batch: Any) -> Tensor:
        """Emissions: logits, or scores of the CRF, of every word of a WordBatch, (B, m, K)."""
        x = word_states(self.encoder, batch)  # (B, m, D)
        if self.forms and batch.parts is None:
            raise DataError(
                "TokenClassifier: it reads the forms of words, which the batch lacks: give "
                "Tagging the same WordForms"
            )
        for form in self.forms:
            x = x + form(batch.parts, batch.characters)
        if self.training:
            x = dropout(x, self.encoder.config.dropout, self.rng)
        return self.out(x)  # (B, m, D) -> (B, m, K)


@dataclass(frozen=True)
class Tagging:
    """The task of a TokenClassifier; an example is (words, tags), tags None without labels.

    inputs       EncoderInput
    tags         names of the tags; the first is the answer for words that did not fit
    constrained  answers are valid BIO sequences: the best one by Viterbi
    forms        WordForms, for a TokenClassifier that reads the forms of words
    """

    inputs: EncoderInput
    tags: tuple
    constrained: bool = False
    forms: WordForms | None = None

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """-> WordBatch."""
        number = {tag: i for i, tag in enumerate(self.tags)}
        rows = [self.inputs.word_row(words) for words, _ in examples]
        ids, fields = self.inputs.padded([row[:2] for row in rows])  # (B, T)
        first_pieces, held = pad_rows([first for *_, first in rows], 0)  # (B, m) twice
        targets = []
        for (_, tags), (*_, first) in zip(examples, rows):
            if tags is None:
                targets.append(np.full(len(first), IGNORE))
                continue
            try:
                targets.append([number[tag] for tag in tags[: len(first)]])
            except KeyError as error:
                known = ", ".join(self.tags)
                raise DataError(f"Tagging: the tag {error} is not one of {known}") from None
        targets, _ = pad_rows(targets, IGNORE, first_pieces.shape[1])  # (B, m)
        if self.forms is not None:
            fitting = [words[: len(first)] for (words, _), (*_, first) in zip(examples, rows)]
            parts, characters = self.forms.batch(fitting, first_pieces.shape[1])
            fields |= {"parts": parts, "characters": characters}
        return WordBatch(ids, targets, **fields, words=first_pieces, held=held)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """-log Pr(tags | words), the mean over words   (book eq. 1.23)

        Of a CRF, -log Pr of each sentence; the sum over sentences is divided by the words of all.
        """
        emissions = model(batch)  # (B, m, K)
        if model.chain is None:
            return score(emissions, batch.targets)
        if not batch.words.shape[1]:  # no row has a word, so there is no loss
            return emissions[:0].sum(), {"tokens": 0, "loss": 0.0}
        labeled = batch.targets[:, 0] != IGNORE  # (B,) rows with tags, and at least one word
        # IGNORE is negative: 0 is a valid index, and its row or word does not count
        losses = model.chain(emissions, np.maximum(batch.targets, 0), batch.held)  # (B,)
        losses = where(labeled, losses, 0.0)
        loss = (losses / max(batch.tokens, 1)).sum()
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model: Module, batch: Any) -> list:
        """One list of tags for each row, a tag for every word that fits."""
        emissions, held = model(batch), to_cpu(batch.held)
        allowed = None
        if self.constrained:
            allowed = bio_constraints(self.tags)
        if not held.shape[1]:
            return [[] for _ in held]
        if model.chain is not None:
            best, _ = model.chain.best(emissions, held, allowed)
        elif self.constrained:
            best, _ = viterbi(log_softmax(emissions).numpy(), *allowed, held=held)
        else:
            best = emissions.numpy().argmax(axis=-1)
        return [[self.tags[i] for i in row[mask]] for row, mask in zip(best, held)]

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """accuracy over words; precision, recall and f1 of entities too where tags are BIO."""
        gold = [list(tags) for _, tags in examples]
        predicted = []
        for tags, right in zip(answers, gold):
            cut_off = len(right) - len(tags)  # words that did not fit into the row
            predicted.append([*tags, *[self.tags[0]] * cut_off])
        answers_flat = [tag for row in predicted for tag in row]
        gold_flat = [tag for row in gold for tag in row]
        found = {"accuracy": metrics.accuracy(answers_flat, gold_flat)}
        if any(mark_of(tag) == "B" for tag in self.tags):
            entities = [bio_decode(row) for row in predicted]
            found |= metrics.entity_f1(entities, [bio_decode(row) for row in gold])
        return found
