"""The sentences of tagging.py: two tasks, and the other text that pre-training reads; book section
1.4.4.

Where files are missing, sentences of a made-up grammar stand for all of them. Measured output: in
tagging.py. Read next: tinylm/data/read/conll.py.
"""

import gzip
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinylm.data.read.conll import read_conll, read_conllu
from tinylm.data.read.labeled import read_columns

HELD_OUT = 0.1  # of the training sentences: they decide when a training ends
# Words as the tagging data cut them: "don't" -> do n't, "it's" -> it 's.
WORD = re.compile(r"n't|'(?:s|m|re|ve|ll|d)\b|\w+?(?=n't)|\w+|[^\w\s]", re.IGNORECASE)


@dataclass(frozen=True)
class Data:
    """A task: lists of (words, tags), and the measure that counts: accuracy or f1."""

    train: list
    test: list
    measure: str

    @property
    def tags(self):
        """All tags, O first if there is one: words that are cut off get the first."""
        seen = {tag for _, tags in self.train + self.test for tag in tags}
        return tuple(sorted(seen, key=lambda tag: (tag != "O", tag)))

    def cut(self, most):
        """The first `most` sentences of both lists; all if None."""
        return replace(self, train=self.train[:most], test=self.test[:most])

    def held_out(self):
        """The sentences to learn from, and those that decide when to stop."""
        order = np.random.default_rng(0).permutation(len(self.train))
        cut = round(HELD_OUT * len(order))
        return [self.train[i] for i in order[cut:]], [self.train[i] for i in order[:cut]]


def made_up(count, seed):
    """Sentences of a small grammar: (words, parts of speech, names as BIO).

    The words are nonsense; forty of them are both nouns and verbs.
    """
    rng = np.random.default_rng(seed)
    letters = ["ba", "do", "fi", "ku", "le", "mo", "na", "pi", "ro", "su", "ta", "ve"]
    words = np.random.default_rng(0)  # the same language for every seed
    new = lambda n, k=2: ["".join(words.choice(letters, k)) for _ in range(n)]  # noqa: E731
    nouns = new(150)
    adjectives = new(50)
    places = [w.title() for w in new(60, 3)]
    verbs = [*new(60), *nouns[:40]]
    people = [w.title() for w in new(80)]
    pick = lambda table: table[int(len(table) * rng.random() ** 2)]  # noqa: E731

    def thing():
        return [
            ("the", "DET", "O"),
            *[(pick(adjectives), "ADJ", "O")] * (rng.random() < 0.4),
            (pick(nouns), "NOUN", "O"),
        ]

    def person():
        kind = "company" if rng.random() < 0.3 else "person"
        name = [
            (pick(people), "PROPN", f"B-{kind}"),
            *[(pick(people), "PROPN", f"I-{kind}")] * (rng.random() < 0.6),
        ]
        return [*name, *[("Inc", "PROPN", f"I-{kind}")] * (kind == "company")]

    sentences = []
    for _ in range(count):
        # two in five subjects and one in five objects are names
        subject, target = (person() if rng.random() < share else thing() for share in (0.4, 0.2))
        if rng.random() < 0.4:
            where = [("in", "ADP", "O"), (pick(places), "PROPN", "B-place")]
        else:
            where = []
        rows = [*subject, (pick(verbs), "VERB", "O"), *target, *where, (".", "PUNCT", "O")]
        # rows of (word, part, name) -> three lists
        sentences.append(tuple(map(list, zip(*rows))))
    return sentences


def read_data(folder):
    """{"parts of speech": Data, "names": Data}, other text (lists of words), and what it all is."""
    folder = Path(folder or "/nowhere")
    files = [
        folder / name
        for name in (
            "tagging/ud_en_ewt_dev.conllu.gz",
            "tagging/wnut17_train.conll.gz",
            "tagging/wnut17_dev.conll.gz",
            "corpus/reviews_unlabelled.txt.gz",
            "bitext/bible_en_es.tsv.gz",
        )
    ]
    if not all(file.is_file() for file in files):
        train, test = made_up(1000, 1), made_up(300, 2)
        return (
            {
                name: Data(*([(row[0], row[i]) for row in rows] for rows in (train, test)), measure)
                for i, name, measure in ((1, "parts of speech", "accuracy"), (2, "names", "f1"))
            },
            [words for words, *_ in made_up(2000, 3)],
            "a made-up grammar",
        )
    sentences = read_conllu(files[0])
    # four fifths to learn from
    cut = len(sentences) * 4 // 5
    tasks = {
        "parts of speech": Data(sentences[:cut], sentences[cut:], "accuracy"),
        "names": Data(read_conll(files[1]), read_conll(files[2]), "f1"),
    }
    with gzip.open(files[3], "rt", encoding="utf-8") as file:
        texts = list(file)
    texts += [english for (english,) in read_columns(files[4], 1)]
    other = [WORD.findall(text.replace("\u2019", "'")) for text in texts]
    return tasks, other, "UD English EWT, WNUT 2017; reviews and the Bible"
