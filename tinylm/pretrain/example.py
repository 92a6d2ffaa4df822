"""An objective at work on one sentence: what is read, what is predicted, who sees whom.

The sentence is split into words, so that what is shown can be read; the objective is the one that
trains. `tinylm corrupt` prints this, `tinylm explore` draws it. Read next: words.py, visible.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.pretrain.discriminative.replaced import replaced_labels, sample_from
from tinylm.pretrain.objectives import OBJECTIVES, Recipe, objective
from tinylm.pretrain.synonyms import canonical
from tinylm.pretrain.visible import patterns
from tinylm.pretrain.words import Words, split

TEXT = "The early bird catches the worm . The second mouse gets the cheese ."
PAIR = "Whales are mammals . | Wale sind Säugetiere ."
CORPUS = "Apples grow on trees . A cat sleeps on the windowsill all day ."
DICTIONARY = {
    "the": "der",
    "The": "Der",
    "bird": "Vogel",
    "mouse": "Maus",
    "cheese": "Käse",
    "worm": "Wurm",
    "early": "frühe",
    "second": "zweite",
    "I": "ich",
    "is": "ist",
    "and": "und",
    "we": "wir",
    "to": "zu",
    "house": "Haus",
    "book": "Buch",
}


@dataclass(frozen=True)
class Example:
    """A sentence as an objective presents it.

    recipe    Recipe of the objective;  objective  made from it;  text  the sentence
    words     Words, the vocabulary;  batch  Batch of one row
    rows      list of (name, words): "input", "target", ... of `tinylm corrupt`
    patterns  list of (name, bool (queries, keys), words of the queries, words of the keys)
    """

    recipe: Recipe
    objective: object
    text: str
    words: Words
    batch: Batch
    rows: list
    patterns: list


def example(name: str, text: str, seed: int = 0) -> Example:
    """What the objective `name` makes of a text.

    name     of the objective, or a synonym
    text     a sentence, at least two words; for "translation" two, with | between them
    seed     of the random choices
    raises   DataError if the text is too short, ConfigError for an unknown objective
    """
    name = canonical(name)
    if len(split(text)) < 2:
        raise DataError(f"{text!r} has fewer than two words: give a sentence")
    # Random replacements are drawn from the vocabulary, so it needs more words than the text has.
    words = Words(
        text.replace("|", " "), CORPUS, *DICTIONARY.values() if name == "code-switching" else ()
    )
    ends = [i for mark in ".!?" if mark in words.words for i in words.ids(mark)]
    made = objective(
        name,
        words.special,
        corpus=words.ids(CORPUS),
        starts=np.ones(words.special.vocab_size, bool),
        ends=ends or [-1],
        dictionary=_dictionary(words),
    )
    batch = made.make_batch(_sequences(name, text, words), Random(seed, "corrupt"))
    rows = _rows(batch, words)
    # Queries label the rows of a mask, keys its columns; a decoder's are the tokens that it reads.
    encoder = words.show(batch.inputs[0])
    decoder = dict(rows).get("reads", encoder)
    labels = {"decoder": (decoder, decoder), "cross": (decoder, encoder)}
    seen = [
        (which, mask, *labels.get(which, (encoder, encoder)))
        for which, mask in patterns(batch).items()
    ]
    return Example(OBJECTIVES[name], made, text, words, batch, rows, seen)


def _dictionary(words):
    """(V, 1) for every id the id of its translation; -1 for none."""
    table = np.full((words.special.vocab_size, 1), -1)
    for word, other in DICTIONARY.items():
        if word in words.words and other in words.words:
            table[words.ids(word)[0], 0] = words.ids(other)[0]
    return table


def _sequences(name, text, words):
    """The ids of the text, in the form that the objective takes: rows, or pairs of rows."""
    parts = [words.ids(part) for part in text.split("|")]
    if name == "translation":
        if len(parts) != 2:
            raise ConfigError(
                "objective translation needs two sentences with | between them, "
                f'"{PAIR}", not {len(parts)}'
            )
        return [tuple(parts)]
    ids = np.concatenate(parts)
    if name == "fim":  # rows keep their length: the marks take the place of the last tokens
        return np.concatenate([ids, [words.special.pad] * 4])[None]
    # A decoder's first input stands for the beginning of the text; what an encoder reads first is
    # [CLS].
    return np.concatenate(
        [[words.special.start], ids] if name in ("causal", "prefix", "multi-token") else [ids]
    )[None]


def _rows(batch, words):
    """(name, words) of every array of the batch's first row."""
    rows, inputs = [], batch.inputs[0]
    if hasattr(batch, "decoder"):
        return [
            ("source", words.show(inputs)),
            ("reads", words.show(batch.decoder[0])),
            ("target", words.show(batch.targets[0])),
            _mask(batch.targets[0]),
        ]
    rows.append(("input", words.show(inputs)))
    if batch.targets.ndim == 3:
        return rows + [
            (f"target {k + 1}", words.show(batch.targets[0, :, k]))
            for k in range(batch.targets.shape[2])
        ]
    if batch.targets.shape[1] == len(inputs):
        rows += [("target", words.show(batch.targets[0])), _mask(batch.targets[0])]
    for name in ("segments", "languages", "positions", "before", "after"):
        if getattr(batch, name, None) is not None:
            rows.append((name, [str(v) for v in getattr(batch, name)[0]]))
    if getattr(batch, "order", None) is not None:
        rows.append(("step", [str(v) for v in np.argsort(batch.order[0])]))
    if getattr(batch, "classes", None) is not None:
        rows.append(("class", [str(batch.classes[0])]))
    if getattr(batch, "original", None) is not None:
        rows += _replaced(batch, words)
    return rows


def _mask(targets):
    """The row that shows which targets count."""
    return "mask", ["·" if target == IGNORE else "■" for target in targets]


def _replaced(batch, words):
    """Tokens of an untrained (uniform) generator, and the labels of the discriminator for them."""
    # Uniform over all words that are no special ones.
    logits = np.where(words.special.among(np.arange(words.special.vocab_size)), -1e9, 0.0)
    drawn = sample_from(np.broadcast_to(logits, (*batch.draws.shape, len(logits))), batch.draws)
    filled = np.where(batch.targets == IGNORE, batch.original, drawn)
    labels = replaced_labels(batch.original, filled)[0]
    return [
        ("generated", words.show(filled[0])),
        ("label", [str(v) if j else "_" for v, j in zip(labels, batch.judged[0])]),
    ]
