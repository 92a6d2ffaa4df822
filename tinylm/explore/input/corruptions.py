"""Every objective at work on one sentence, by seed   (book sections 1.2.2, 1.2.3, Table 1.1).

What `tinylm corrupt` prints, of all objectives at once, with a mark on every word: hidden, replaced
by another, moved, special, predicted. Read first: pretrain/example.py.
"""

import inspect

import numpy as np

from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.example import PAIR, TEXT, Example, example
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.pretrain.words import split

SEEDS = 6
LONGEST = 40  # words: attention patterns have the square of it in cells

# A letter for every word says what an objective did to it.
KEPT, HIDDEN, REPLACED, MOVED, SPECIAL = "khrms"  # of what is read
COUNTED, IGNORED, NUMBER = "cin"  # of targets; of positions, segments and the like


def corruptions(text: str = TEXT, seeds: int = SEEDS) -> dict:
    """All objectives on a text.

    text     a sentence or two; the objective of translations takes its own pair, unless the text
             has two sentences with | between them
    seeds    the random choices are made with seeds 0 .. seeds - 1
    returns  {"text", "words", "seeds", "families": names, "objectives": list of dicts (name, about,
             family, section, trains, file, text, drawn: an entry a seed), "patterns": list of rows
             of 0 and 1}. An entry has rows [(name, words, a letter each)] and patterns
             [(name, number, queries, keys)], the last two the names of rows
    raises   DataError for a text of one word
    """
    shortened = " ".join(split(text)[:LONGEST]) if len(split(text)) > LONGEST else text
    patterns, found = {}, []
    for name, recipe in OBJECTIVES.items():
        own = _text_for(recipe, shortened)
        made = [example(name, own, seed) for seed in range(seeds)]
        found.append(
            {
                "name": name,
                "about": recipe.about,
                "family": recipe.family,
                "section": recipe.section,
                "trains": list(recipe.trains),
                "file": source_of(_maker(made[0].objective)),
                "text": own,
                "drawn": [_entry(one, patterns) for one in made],
            }
        )
    families = list(dict.fromkeys(one["family"] for one in found))
    return {
        "text": shortened,
        "cut": shortened != text,
        "seeds": seeds,
        "families": families,
        "objectives": found,
        "patterns": [list(cells) for cells in patterns],
    }


def _text_for(recipe, text):
    """The text itself; for pairs of translations the example's, unless it is a pair."""
    if recipe.pairs:
        halves = text.split("|")
        return text if len(halves) == 2 and all(map(split, halves)) else PAIR
    return text.replace("|", " ")


def _entry(made, patterns):
    """One drawing as {"rows", "patterns"}; a pattern that was there before is only numbered."""
    first = made.rows[0][0]  # "input" or "source"
    labels = {"decoder": ("reads", "reads"), "cross": ("reads", first)}
    numbered = []
    for name, mask, _, _ in made.patterns:
        cells = tuple("".join("01"[int(seen)] for seen in row) for row in mask)
        number = patterns.setdefault(cells, len(patterns))
        numbered.append([name, number, *labels.get(name, (first, first))])
    # The row of squares says what the letters of the targets say.
    rows = [
        [name, words, marks_of(made, name, words)] for name, words in made.rows if name != "mask"
    ]
    return {"rows": rows, "patterns": numbered}


def marks_of(made: Example, name: str, words: list) -> str:
    """A letter for every word of a row: what the objective did to it, or whether it is predicted.

    made     of example()
    name     of a row;  words  the row's
    returns  str of as many letters: k kept, h hidden, r replaced by another word, m moved, s a
             special token; in targets c where the loss counts, i where not; n for numbers
    """
    batch, special = made.batch, made.words.special
    if name.startswith("target") or name == "label":
        return "".join(IGNORED if word == "_" else COUNTED for word in words)
    if name == "generated":
        before = made.words.show(batch.original[0])
        return "".join(KEPT if word == old else REPLACED for word, old in zip(words, before))
    if name not in ("source", "input", "reads"):
        return NUMBER * len(words)
    ids = batch.decoder[0] if name == "reads" else batch.inputs[0]
    marks = [_mark(int(i), special) for i in ids]
    if name == "input" and batch.targets.shape == batch.inputs.shape:
        _mark_replaced(marks, ids, batch.targets[0], made)
    if name == "source":
        _mark_changed(marks, words, made)
    return "".join(marks)


def _mark(i, special):
    if i == special.mask or i in special.sentinels:
        return HIDDEN
    return SPECIAL if special.among(np.array(i)) else KEPT


def _mark_replaced(marks, ids, targets, made):
    """BERT replaces some of the tokens that it chooses: where one is predicted at its own place,
    and something else is read there.
    """
    if made.recipe.shifted or made.recipe.family.startswith("permuted"):
        return
    for place, (read, target) in enumerate(zip(ids, targets)):
        if target != IGNORE and read != target and marks[place] == KEPT:
            marks[place] = REPLACED


def _mark_changed(marks, words, made):
    """What a source has in place of the text: words in another order, or other words."""
    plain = [place for place, mark in enumerate(marks) if mark == KEPT]
    kept = [words[place] for place in plain]
    original = split(made.text, made.words.cut)
    if len(kept) != len(original):
        return  # words are missing: places cannot be compared
    changed = MOVED if sorted(kept) == sorted(original) else REPLACED
    for place, word, was in zip(plain, kept, original):
        if word != was:
            marks[place] = changed


def _maker(objective):
    """What does the work: of an encoder-decoder's objective its task, of that its corruption."""
    for part in ("task", "noise"):
        objective = getattr(objective, part, objective)
    return objective if inspect.isfunction(objective) else type(objective)


def figures(at_hand: AtHand) -> list[Figure]:
    """The objectives on the prompt, or on the sentence of `tinylm corrupt`.

    raises   Unsuitable if the prompt is a single word
    """
    text = at_hand.prompt or TEXT
    if len(split(text.replace("|", " "))) < 2:
        raise Unsuitable(f"needs a sentence, and {text!r} is one word")
    about = (
        "What a model reads and what it has to say, under every objective that tinylm trains; "
        "another seed draws again. Book sections 1.2.2 and 1.2.3, Table 1.1; code: "
        f"`{source_of(example)}`."
    )
    return [Figure("corruptions", "One sentence, every objective", about, corruptions(text))]
