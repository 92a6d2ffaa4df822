"""`tinylm corrupt "text" --objective NAME`: the inputs, targets and attention mask that an
objective makes of a text.

The text is split into words, not into the tokens of a model, to keep the output readable. In the
mask a row is a query and a column a key. A pair of translations is written with | between them.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.cli.options import parse
from tinylm.errors import ConfigError, DataError
from tinylm.settings import setting

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


@dataclass
class CorruptConfig:
    """Settings of `tinylm corrupt`."""

    objective: str = setting(
        "masked", "name of the objective, or a synonym such as mlm or t5; --list lists them"
    )
    seed: int = setting(0, "seed of the random choices")
    list: bool = setting(False, "list the objectives, one a line")
    family: str = setting(
        "", "with --list: only objectives of this family, such as masked or denoising"
    )


def main(argv):
    """Show what an objective makes of a text."""
    config, words = parse(
        argv,
        CorruptConfig,
        positionals=("[TEXT]",),
        verb="corrupt",
        about=__doc__,
        examples=(
            "tinylm corrupt --list",
            'tinylm corrupt --objective sentinels "The early bird catches the worm ."',
            "tinylm corrupt --objective permuted --seed 3",
            f'tinylm corrupt --objective translation "{PAIR}"',
        ),
    )
    if config.list:
        print("\n".join(listing(config.family)))
        return
    from tinylm.pretrain.synonyms import canonical

    text = TEXT
    if words:
        text = words[0]
    elif canonical(config.objective) == "translation":
        text = PAIR
    print("\n".join(shown(config.objective, text, config.seed)))


def listing(family=""):
    """What --list prints, an objective a line: name, what is learnt, synonyms.

    raises   ConfigError if no family has these letters in its name
    """
    from tinylm.pretrain.objectives import OBJECTIVES, TASK_FAMILIES
    from tinylm.pretrain.synonyms import SYNONYMS

    lines = []
    for name, kind in OBJECTIVES.items():
        if family.lower() in kind.family.lower():
            also = ""
            if name in SYNONYMS:
                also = f"  (also {', '.join(SYNONYMS[name])})"
            lines.append(f"{name:<21} {kind.about}{also}")
    if not lines:
        raise ConfigError(f"--family {family!r} is none of {', '.join(TASK_FAMILIES)}")
    return lines


def shown(name, text, seed=0):
    """What `tinylm corrupt` prints: the rows of the batch, word under word, and the attention
    patterns.

    returns  list of lines
    raises   DataError if the text is too short, ConfigError for an unknown objective
    """
    from tinylm.backend import Random
    from tinylm.pretrain.objectives import OBJECTIVES, objective
    from tinylm.pretrain.synonyms import canonical
    from tinylm.pretrain.visible import patterns, picture
    from tinylm.pretrain.words import Words, split

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
    kind, rows = OBJECTIVES[name], _rows(batch, words)
    lines = [
        f"{name}: {kind.about}",
        f"{kind.family}; trains {', '.join(kind.trains)}; {_source(kind.section)}",
        "",
        *_aligned(rows),
    ]
    if name == "contrastive":
        lines += [
            "",
            "target: the same sentence read a second time, under other dropout, among all sentences of the batch",
        ]
    elif any(row[0] == "mask" for row in rows):
        lines += ["", "mask: the loss counts what is marked ■"]
    # Queries label the rows of a mask, keys its columns; a decoder's are the tokens that it reads.
    encoder = words.show(batch.inputs[0])
    decoder = dict(rows).get("reads", encoder)
    for which, mask in patterns(batch).items():
        queries, keys = {
            "decoder": (decoder, decoder),
            "cross": (decoder, encoder),
        }.get(which, (encoder, encoder))
        lines += [
            "",
            f"{which}: a row sees the columns marked ■",
            *picture(mask, queries, keys),
        ]
    return lines


def _source(section):
    """`book section 1.2.2`; a paper stays as it is."""
    if section[0].isdigit():
        return f"book section {section}"
    return section


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
                f'objective translation needs two sentences with | between them, "{PAIR}", not {len(parts)}'
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
    from tinylm.pretrain.batch import IGNORE

    return "mask", ["·" if target == IGNORE else "■" for target in targets]


def _replaced(batch, words):
    """Tokens of an untrained (uniform) generator, and the labels of the discriminator for them."""
    from tinylm.pretrain.batch import IGNORE
    from tinylm.pretrain.discriminative.replaced import replaced_labels, sample_from

    # Uniform over all words that are no special ones.
    logits = np.where(words.special.among(np.arange(words.special.vocab_size)), -1e9, 0.0)
    drawn = sample_from(np.broadcast_to(logits, (*batch.draws.shape, len(logits))), batch.draws)
    filled = np.where(batch.targets == IGNORE, batch.original, drawn)
    labels = replaced_labels(batch.original, filled)[0]
    return [
        ("generated", words.show(filled[0])),
        ("label", [str(v) if j else "_" for v, j in zip(labels, batch.judged[0])]),
    ]


def _aligned(rows):
    """Rows of words, one under the other."""
    wide = [
        max(len(row[i]) for _, row in rows if i < len(row))
        for i in range(max(len(row) for _, row in rows))
    ]
    name = max(len(name) for name, _ in rows)
    return [
        f"{title:<{name}}  "
        + " ".join(f"{word:<{width}}" for word, width in zip(row, wide)).rstrip()
        for title, row in rows
    ]
