"""Verses of the Bible in two languages for cross_lingual.py: pairs of rows of ids with a label, how
often a model's states find the translation, and what can be told without one. Book section 1.3.4.
"""

from pathlib import Path

import numpy as np

from tinylm.autograd import no_grad
from tinylm.data.read.labeled import read_columns
from tinylm.data.synthetic.junk import good_page
from tinylm.models.published.sentence_encoder import mean_of_tokens, unit
from tinylm.pretrain.batch import pad_rows
from tinylm.pretrain.early.naive_bayes import naive_bayes
from tinylm.pretrain.special import Special
from tinylm.tokenizers.bpe import BPETokenizer

WORDS, LONGEST = 2000, 24  # pieces of the vocabulary; of a verse, which is cut there
SPECIAL = Special.after(WORDS, sentinels=0)
HELD_OUT, CANDIDATES = 2000, 400  # verses; those of them among which a translation is sought
NEW_TESTAMENT = """Matthew Mark Luke John Acts Romans Corinthians Galatians Ephesians Philippians
Colossians Thessalonians Timothy Titus Philemon Hebrews James Peter Jude Revelation""".split()


def load(folder):
    """Pairs of texts and a label of each: list of (English, other, 0 or 1)."""
    path = Path(folder or ".") / "bitext" / "bible_en_es.tsv.gz"
    if path.is_file():
        return [
            (english, spanish, int(any(name in place for name in NEW_TESTAMENT)))
            for place, english, spanish in read_columns(path, 0, 1, 2)
        ]
    rng, rows = np.random.default_rng(0), []
    # Made up: single sentences; the label is whether one of two words is among them.
    for _ in range(1500):
        for line in good_page(rng, 2).replace("\n\n", " ").split(". "):
            rows.append((line, foreign(line), int("old" in line or "quiet" in line)))
    return rows


def foreign(text):
    """Every word in another spelling, neighbors in another order."""
    words = [
        # 13 letters on; capitals have gone with lower()
        "".join(chr((ord(c) - 97 + 13) % 26 + 97) if c.islower() else c for c in word)
        for word in text.lower().split()
    ]
    # i ^ 1 swaps neighbors 0-1, 2-3, ..; a last odd word stays
    return " ".join(words[i ^ 1] if i ^ 1 < len(words) else words[i] for i in range(len(words)))


def prepared(folder):
    """Rows (ids, ids, label), cut at LONGEST: for learning, and held out."""
    rows = [row for row in load(folder) if min(map(len, row[:2])) > 9]  # no headings
    order = np.random.default_rng(0).permutation(len(rows))
    train, test = ([rows[i] for i in part] for part in (order[HELD_OUT:], order[:HELD_OUT]))
    # one vocabulary for both languages
    tokenizer = BPETokenizer.train((text for row in train for text in row[:2]), WORDS, special=())
    return [
        [
            (tokenizer.encode(a).tolist()[:LONGEST], tokenizer.encode(b).tolist()[:LONGEST], label)
            for a, b, label in part
        ]
        for part in (train, test)
    ]


def pairs_of(rows):
    """The texts of rows, without labels."""
    return [row[:2] for row in rows]


def balanced(rows):
    """As many rows of one label as of the other: a guess is right in half of them."""
    ones, zeros = ([row for row in rows if row[2] == label] for label in (1, 0))
    n = min(len(ones), len(zeros))
    return ones[:n] + zeros[:n]


def nearest(first, second):
    """How often the nearest text of the other language is the translation: there and back.

    first, second  (n, D) unit vectors, row i of both a translation
    """
    scores, right = first @ second.T, np.arange(len(first))  # (n, n) cosines
    return [float(np.mean(scores.argmax(axis=axis) == right)) for axis in (1, 0)]


def retrieval(model, rows):
    """As nearest(), for each layer: list of L + 1 pairs. Rows are (ids, ids, label)."""
    found = [[], []]  # side -> batch -> layer -> (50, D)
    with no_grad():
        for side in (0, 1):
            # batches of 50, padded to the longest of each
            for start in range(0, len(rows), 50):
                texts = [[SPECIAL.cls, *row[side]] for row in rows[start : start + 50]]
                ids, mask = pad_rows(texts, SPECIAL.pad)
                states = model.layers(ids, mask=mask)
                found[side].append([mean_of_tokens(h.numpy(), mask) for h in states])
    # side -> layer -> (n, D)
    first, second = ([np.concatenate(layer) for layer in zip(*batches)] for batches in found)
    return [nearest(centered(a), centered(b)) for a, b in zip(first, second)]


def centered(vectors):
    """Unit vectors (n, D) less their mean: what all texts of a language share is no help in finding
    a translation.
    """
    return unit(vectors - vectors.mean(axis=0))


def shared_pieces(train):
    """Pieces that both languages use: (V,) bool.

    The rarer use must be a twentieth of the other: a foreign name's letters are in both.
    """
    counts = [
        np.bincount(np.concatenate([row[side] for row in train]), minlength=WORDS)
        for side in (0, 1)
    ]
    return 20 * np.minimum(*counts) > np.maximum(*counts)


def controls(train, test):
    """What the pieces that both languages share give without a model: {name: number}.

    there, back  retrieval by cosines of bags of them, each piece weighed by its rarity
    zero-shot    naive Bayes on them, learnt from the first language, asked in the second
    """
    shared = shared_pieces(train)
    bags = []
    for side in (0, 1):
        seen = np.zeros(WORDS)  # verses with the piece
        for row in train:
            seen[np.unique(row[side])] += 1
        rarity = np.log(len(train) / np.maximum(seen, 1)) * shared
        counts = [np.bincount(row[side], minlength=WORDS) for row in test[:CANDIDATES]]
        bags.append(unit(np.array(counts) * rarity))
    there, back = nearest(*bags)
    examples, asked = (
        [([i for i in row[side] if shared[i]], row[2]) for row in balanced(rows)]
        for side, rows in ((0, train), (1, test))
    )
    answers = naive_bayes(WORDS, 2)(examples)([ids for ids, _ in asked]).argmax(axis=1)
    right = float(np.mean(answers == [label for _, label in asked]))
    return {"there": there, "back": back, "zero-shot": right}
