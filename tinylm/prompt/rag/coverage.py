"""Do the documents know the words of a question? A reason to refuse before any model is called.

A small model rarely answers "No answer!", whatever it is told. But a question about a king of
Spain, of which no document has the word "king" or "Spain", needs no model to be refused:

    coverage = sum of idf(w) over words w of the question that the texts have
               / sum of idf(w) over all words of the question

Rare words count most, and a word of no document has the largest idf. So words that belong to any
question (where, does, of) are left out: documents that state facts often lack them, and they would
then count most of all. Words are compared by their stems (sleep, sleeps). Read first: answer.py;
generate/retrieval/bm25.py for idf.
"""

from collections.abc import Sequence
from typing import Any

import regex

from tinylm.data.clean.words import words
from tinylm.generate.retrieval.bm25 import InvertedIndex

QUESTION_WORDS = frozenset(
    """who whom whose what which when where why how
    am is are was were be been being do does did done has have had having can could will would shall
    should may might must
    a an the this that these those there here it its he him his she her they them their we us our i
    me my you your
    of in on at by for from with without into onto to as about than and or but if whether not no
    any some all much many tell give name please s t""".split()
)
_ENDING = regex.compile(r"(?<=\w{3})(?:ing|ed|es|s)$")
_DOUBLE = regex.compile(r"(?<=\w)([b-df-hj-np-tv-z])\1$")


def coverage(index: InvertedIndex, question: str, texts: Sequence[str]) -> Any:
    """How much of a question some texts have words for.

    index     InvertedIndex of all documents: gives idf(word)
    question  str;  texts  list of str
    returns   (share of its words, weighted by their rarity, 0 .. 1; list of the words that no text
              has, in their order). (1.0, []) for a question of QUESTION_WORDS alone
    """
    known = {}  # stem -> the forms of it in the texts
    for text in texts:
        for word in words(text):
            known.setdefault(stem(word), set()).add(word)
    whole, covered, missing = 0.0, 0.0, []
    asked = {stem(word): word for word in words(question) if word not in QUESTION_WORDS}
    for root, word in asked.items():
        # A form that no document has is as rare as the one that some have.
        idf = min(index.idf(form) for form in {word, *known.get(root, ())})
        whole += idf
        if root in known:
            covered += idf
        else:
            missing.append(word)
    # "What is it?" has no word that a text could lack.
    if not whole:
        return 1.0, []
    return covered / whole, missing


def stem(word: str) -> str:
    """A word without the ending of a plural or a verb: sleep for sleeps, bak for bake and baked.

    A rough form for comparisons: -s, -es, -ed or -ing is taken off what keeps three letters, then
    final e's or the second of two equal consonants; a final y becomes i. It joins less than
    porter_stem of data/clean/stem.py, as a word that is joined wrongly, "one" with "on", would
    count as known.
    """
    root = _ENDING.sub("", word)
    while len(root) > 3 and root.endswith("e"):
        root = root[:-1]
    # running -> runn -> run
    root = _DOUBLE.sub(r"\1", root)
    # city -> citi, as cities -> citi
    if len(root) > 2 and root.endswith("y"):
        root = f"{root[:-1]}i"
    return root
