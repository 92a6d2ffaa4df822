"""From the text of a reply to a label   (book section 3.1.4.1, label mapping).

    "The polarity of the text can be classified as negative."   -> negative
    "neither positive nor negative"                             -> neutral
    "positive or negative, depending on the reader"             -> None

A reply is free text. Rules are tried in a fixed order, and the result names the one that decided;
where none does the label is None. Read next: classification.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.template.constraints import WORD_END

RULES = ("exact", "single", "statement", "excluded", "synonym", "nearest", "several", "none")
# Words that negate a label up to three words after them, in the same clause. "not only" does not,
# and "no doubt" affirms.
_NOT = (
    r"(?:\b(?:not(?!\s+(?:only|just))|no(?!\s+(?:doubt|question))|never|neither|nor|cannot"
    r"|without(?!\s+(?:(?:a|any)\s+)?(?:doubt|question))|rather\s+than|instead\s+of)|n't)\s+"
)
_NEGATION = re.compile(rf"{_NOT}(?:[\w'-]+\s+){{0,3}}[\"'*(\[]*$", re.IGNORECASE)
# Negation that excludes the label: right before it, or "neither .. nor".
_EXCLUSION = re.compile(
    rf"(?:{_NOT}(?:(?:a|an|the)\s+)?|\b(?:neither|nor)\s+(?:[\w'-]+\s+){{0,3}})[\"'*(\[]*$",
    re.IGNORECASE,
)
# What leaves it open whether the label holds: "whether it is ..", "not sure that this is ..".
_OPEN = re.compile(
    r"\b(?:whether|(?:(?:not|n't)\s+(?:\w+\s+)?|un)(?:clear|sure|certain|obvious))\s+"
    r"(?:[\w'-]+\s+){0,4}[\"'*(\[]*$",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;!?\n]|\b(?:but|however|although)\b", re.IGNORECASE)
# What stands before a label that is stated to be the answer.
_STATEMENT = re.compile(
    r"(?:\b(?:is|as|be|was|are)|[:=])\s*"
    r"(?:\b(?:a|an|the|clearly|rather|mostly|overall)\s+)*[\"'*(\[]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mapped:
    """The label of a reply.

    label       str, or None
    rule        the rule of RULES that decided
    mentioned   labels that the reply mentions and does not negate, each once, in order
    similarity  of the nearest label, where that rule decided
    """

    label: str | None
    rule: str
    mentioned: tuple = ()
    similarity: float | None = None


class LabelMapper:
    """Reads a label from a reply by the first rule that decides.

    exact      the reply is a label, up to case, white space and marks at its ends
    single     one label is mentioned, and it is not negated
    statement  several are, but only one after "is", "as" or a colon
    excluded   none is, but all labels except one are negated, each right before it ("not positive")
               or by "neither" and "nor"
    synonym    no label is mentioned in any way, but synonyms of just one
    nearest    nothing is mentioned: the label whose embedding is most similar (if `embed` is given)
    several    several are mentioned: no label
    none       nothing is: no label

    labels    list of str, no two the same in lower case
    synonyms  {label: list of str}
    embed     function from a list of n texts to (n, d) vectors
    least     least cosine similarity for "nearest"
    raises    ConfigError for labels or synonyms that are the same or empty, or synonyms of no label
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        synonyms: dict[str, list[str]] | None = None,
        embed: Callable | None = None,
        least: float = 0.0,
    ) -> None:
        self.labels, self.synonyms = tuple(labels), dict(synonyms or {})
        self.embed, self.least = embed, least
        unknown = [label for label in self.synonyms if label not in self.labels]
        if unknown:
            raise ConfigError(f"LabelMapper: {unknown[0]!r} has synonyms and is no label")
        # {form in lower case: label}, for labels and synonyms
        self._label_of = {}
        forms = [(label, label) for label in self.labels]
        forms += [(word, label) for label, words in self.synonyms.items() for word in words]
        for form, label in forms:
            key = _key(form)
            if not key or key in self._label_of:
                raise ConfigError(
                    f"LabelMapper: {form!r} is empty or given twice, so no reply could be mapped"
                )
            self._label_of[key] = label
        if not self.labels:
            raise ConfigError("LabelMapper: give at least one label")
        # Of two that begin at one place the longer is meant: "very good" before "very".
        longest_first = sorted(self._label_of, key=len, reverse=True)
        words = "|".join(r"\s+".join(map(re.escape, form.split())) for form in longest_first)
        self._mention = re.compile(rf"(?<![\w-])(?:{words}){WORD_END}", re.IGNORECASE)

    def read(self, reply: str) -> Mapped:
        """The label of a reply: Mapped."""
        reply = reply.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        # 1. The whole reply is a label.
        exact = [label for label in self.labels if _key(label) == _key(reply)]
        if exact:
            return Mapped(exact[0], "exact", (exact[0],))
        mentions = list(self._mention.finditer(reply))
        # 2. Labels are mentioned; synonyms count only if none is.
        own = [found for found in mentions if self._is_label(found)]
        if not own and mentions:
            return self._decided(reply, mentions, "synonym")
        if own:
            return self._decided(reply, own, "single")
        # 3. Nothing is mentioned, so any label would be an inference from the meaning.
        if self.embed is not None:
            return self._nearest(reply)
        return Mapped(None, "none")

    def _label(self, found):
        return self._label_of[_key(found[0])]

    def _is_label(self, found):
        return _key(found[0]) == _key(self._label(found))

    def _decided(self, reply, mentions, rule):
        """The label by these mentions; `rule` is the name if one alone is asserted."""
        # A negation reaches to the end of its clause: "not positive, but negative".
        clauses = [0, *(found.end() for found in _CLAUSE.finditer(reply)), len(reply) + 1]
        asserted, stated, excluded, opened = [], [], [], []
        for start, end in zip(clauses, clauses[1:]):
            positive = []
            for found in mentions:
                if not start <= found.start() < end:
                    continue
                before = reply[start : found.start()]
                if _OPEN.search(before):
                    opened.append(self._label(found))
                elif not _NEGATION.search(before):
                    positive.append(found)
                elif _EXCLUSION.search(before):
                    excluded.append(self._label(found))
            labels = list(dict.fromkeys(map(self._label, positive)))
            asserted += labels
            # "is positive or negative" states neither.
            if len(labels) == 1 and _STATEMENT.search(reply[start : positive[0].start()]):
                stated += labels
        # The order of the rules, from the strongest: one label, one statement, one that is left.
        asserted = tuple(dict.fromkeys(asserted))
        if len(asserted) == 1:
            return Mapped(asserted[0], rule, asserted)
        if len(set(stated)) == 1:
            return Mapped(stated[0], "statement", asserted)
        # "neither positive nor negative" leaves one of three.
        left = [label for label in self.labels if label not in excluded]
        if not asserted and not opened and len(left) == 1:
            return Mapped(left[0], "excluded")
        if asserted:
            return Mapped(None, "several", asserted)
        return Mapped(None, "none")

    def _nearest(self, reply):
        """The label with the most similar embedding."""
        vectors = np.asarray(self.embed([reply, *self.labels]), np.float64)  # (1 + n, d)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A vector of zeros is similar to nothing.
        vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        similar = vectors[1:] @ vectors[0]  # (n,) cosines
        best = int(similar.argmax())
        if similar[best] < self.least:
            return Mapped(None, "none", similarity=float(similar[best]))
        return Mapped(self.labels[best], "nearest", similarity=float(similar[best]))


def _key(text):
    """The text in lower case, with single spaces, without marks at its ends."""
    return " ".join(re.sub(r"^[^\w+-]+|[^\w+#-]+$", "", text).casefold().split())


def compliance_rate(replies: Sequence[str], labels: tuple[str, ...]) -> float:
    """The share of replies that are exactly a label, to the letter   (book section 3.1.4.1)

    1.0 for constrained decoding by construction; for free text a measure of how well "Just answer:
    .." is followed. `LabelMapper` may still read a reply that does not comply.
    """
    replies, labels = list(replies), set(labels)
    if not replies:
        raise DataError("compliance_rate: give at least one reply")
    return sum(reply in labels for reply in replies) / len(replies)
