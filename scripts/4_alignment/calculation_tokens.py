"""A word problem and its solution as tokens of where each number comes from.

    question   She has 16 eggs, eats three and sells the rest at $2 each.
    step       16 - 3 = <<16-3=13>>13 eggs       q0 - q1 = right whole
    step       13 * 2 = $<<13*2=26>>26           r0 * q2 = right whole
    answer     A: 26                             last, and counts of what was never used

Whether a calculation makes sense does not depend on its numbers, but on where they are from: the
question (q0, q1, .. in their order), an earlier result (r0, r1, ..), a constant that everybody
knows (100, 12, 7), or nowhere (new). All words are left out, so which operation a question calls
for is not seen. 79 tokens then do for a model that a laptop trains. Used by gsm8k_verifier.py.
"""

import re
from fractions import Fraction

import numpy as np

from tinylm.align.rewards.step_labels import solution_steps
from tinylm.data.measure.numbers import canonical_number
from tinylm.prompt.reasoning.annotations import annotations

WORDS = {
    **{
        name: i
        for i, name in enumerate("zero one two three four five six seven eight nine".split())
    },
    **{"ten": 10, "eleven": 11, "twelve": 12, "twenty": 20, "thirty": 30, "hundred": 100},
    **{"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)},
    **{"twice": 2, "double": 2, "triple": 3, "dozen": 12, "couple": 2},
}
KNOWN = {2: "2", 3: "3", 4: "4", 7: "7", 10: "10", 12: "12", 24: "24", 30: "30", 52: "52"}
KNOWN |= {60: "60", 100: "100", 365: "365", 1000: "1000", 1: "1", Fraction(1, 2): "1/2"}
MOST = 10  # numbers of a question, and results, that have names of their own; counts up to it
_WORD = re.compile(r"[a-z]+|[0-9][0-9,.]*")
_OPERATION = re.compile(r"[0-9][0-9,]*\.?[0-9]*|\.[0-9]+|[-+*/()%]")


def question_numbers(question):
    """The different numbers of a question in their order, in digits or in words: list."""
    return list(dict.fromkeys(_mentioned(question)))


def _mentioned(question):
    found = []
    for word in _WORD.findall(question.lower()):
        value = WORDS.get(word)
        if word[0].isdigit():
            value = canonical_number(word.rstrip(".,"))
        if value is not None:
            found.append(Fraction(value))
    return found


class CalculationTokens:
    """The vocabulary, and the `read` of a verifier: (question, path) -> (ids, list of ids)."""

    def __init__(self):
        names = [f"{kind}{i}" for kind in ("q", "r", "unused q", "unused r") for i in range(MOST)]
        names += ["percent of q", "new", "?", "right", "wrong", "=", "end of step", "solution:"]
        names += ["whole", "fraction", "negative", "of the question", "no mark", *KNOWN.values()]
        names += ["answer:", "last", "earlier", "none", *"+-*/()%"]
        self.ids = {name: i for i, name in enumerate(names)}
        self.size = len(names)

    def __call__(self, question, path):
        """Ids of the numbers of the question, and of each step; the last one is the answer."""
        given = question_numbers(question)
        order = [given.index(value) for value in _mentioned(question)]
        opened = [*(f"q{min(i, MOST - 1)}" for i in order), "solution:"]
        solution = _Solution(given)
        rows = [solution.step(line) for line in solution_steps(path)]
        if rows:
            rows[-1] += solution.closing()
        read = [self._ids(row) for row in rows if row]
        return self._ids(opened), read

    def _ids(self, names):
        return np.array([self.ids[name] for name in names], np.int64)


class _Solution:
    """A solution that is read from step to step."""

    def __init__(self, given):
        self.given, self.results, self.used, self.answer = given, [], set(), None

    def step(self, line):
        """Names of the tokens of a line; the line of the answer has none."""
        if line.startswith("A: "):
            self.answer = canonical_number(line[3:].strip())
            return []
        marks, names = annotations(line), []
        for mark in marks:
            for part in _OPERATION.findall(mark.expression):
                names.append(self._name(part))
            names += ["=", "right" if mark.right else "wrong", *self._result(mark.result)]
        return [*(names or ["no mark"]), "end of step"]

    def _name(self, part):
        value = canonical_number(part)
        if value is None:
            return part if part in "+-*/()%" else "?"
        if value in self.results:
            place = len(self.results) - 1 - self.results[::-1].index(value)
            self.used.add(("r", place))
            return f"r{min(place, MOST - 1)}"
        if value in self.given:
            self.used.add(("q", self.given.index(value)))
            return f"q{min(self.given.index(value), MOST - 1)}"
        # 20% of something is written .2 or 20/100, and what is left of it .8
        for same in (value * 100, 100 - value * 100, 100 - value):
            if same in self.given:
                self.used.add(("q", self.given.index(same)))
                return "percent of q"
        return KNOWN.get(value, "new")

    def _result(self, text):
        value = canonical_number(text)
        if value is None:
            return ["?"]
        kind = "whole"
        if value.denominator != 1:
            kind = "fraction"
        if value < 0:
            kind = "negative"
        again = ["of the question"] * (value in self.given)
        self.results.append(value)
        return [kind, *again]

    def closing(self):
        """Names for the answer, and for how many numbers and results were never used."""
        place = "none"
        if self.answer is not None:
            place = "new"
            if self.answer in self.given:
                place = "of the question"
            if self.answer in self.results:
                place = "earlier"
            if self.results and self.answer == self.results[-1]:
                place = "last"
        unused_q = sum(("q", i) not in self.used for i in range(len(self.given)))
        unused_r = sum(("r", i) not in self.used for i in range(len(self.results) - 1))
        counts = [f"unused q{min(unused_q, MOST - 1)}", f"unused r{min(unused_r, MOST - 1)}"]
        return ["answer:", place, *counts]


def with_answer(text, answer):
    """A solution with its last line, as the reader takes it."""
    return f"{text}\nA: {answer}"
