"""Prompt templates: a text with slots, and a blank for the model's answer.

    {*sentence*}
    Question: Is this sentence grammatically correct?
    Answer: _____

is the notation of the book (section 2.1.3); {sentence}, as in Python's format, is a slot too, and
{{ and }} are braces. Slots are filled in one pass over the template, so braces in the values stay
braces. One task has many phrasings; a model tuned on several also follows others. Read
next: instructions.py; data/read/instructions.py.
"""

import re
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, DataError
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_probabilities, sequence_logprob

# {{ or }}, {*name*}, {name}
_PIECE = re.compile(r"\{\{|\}\}|\{\*(\w+)\*\}|\{(\w+)\}")
_BLANK = "_____"


@dataclass(frozen=True)
class PromptTemplate:
    """A text with slots, which may end in a blank "_____"; without one the answer is the next line.

    raises   ConfigError for text after the blank, which the model could not read before it answers
    """

    text: str

    def __post_init__(self):
        if _BLANK in self.text and not self.text.rstrip().endswith(_BLANK):
            raise ConfigError(
                f"PromptTemplate: the blank {_BLANK} must stand at the end, since a model "
                f"continues the text before it: {self.text[-80:]!r}"
            )

    @property
    def slots(self):
        """The names of the slots, in the order of appearance, each once."""
        return tuple(dict.fromkeys(a or b for a, b in _PIECE.findall(self.text) if a or b))

    def format(self, **values):
        """The prompt, up to the blank and without the space before it, which belongs to the answer.

        values   str for each slot
        raises   DataError for a slot without a value, a value without a slot, or one that is not a
                 str
        """
        return self._cut(values)[0]

    def pair(self, output, **values):
        """(prompt, answer), whose concatenation is the text with `output` in the blank.

        The space before the blank belongs to the answer: " Yes".
        """
        prompt, space = self._cut(values)
        return prompt, space + output

    def _cut(self, values):
        """The filled prompt, and the white space between it and the answer."""
        missing = sorted(set(self.slots) - set(values))
        extra = sorted(set(values) - set(self.slots))
        if missing or extra:
            what = f"no slot for {', '.join(extra)}"
            if missing:
                what = f"no value for {', '.join(missing)}"
            slots = ", ".join(self.slots) or "(none)"
            raise DataError(f"PromptTemplate: {what}; its slots are {slots}")
        for name, value in values.items():
            if not isinstance(value, str):
                raise DataError(
                    f"PromptTemplate: the value of {name} is {type(value).__name__}, not text"
                )
        before, space = self.text, "\n"  # without a blank the answer is on the next line
        if _BLANK in self.text:
            with_space = self.text.rstrip().removesuffix(_BLANK)
            before = with_space.rstrip(" ")
            space = with_space[len(before) :]
        return _PIECE.sub(lambda found: _filled(found, values), before), space


def _filled(found, values):
    """The value of a slot, or one brace for a doubled one; `found` is a match of _PIECE."""
    name = found[1] or found[2]
    if name:
        return values[name]
    return found[0][0]


# The book's templates (section 2.1.3): a question, three phrasings of one binary task, and three
# styles for translation.
_TEXTS = {
    "grammar.question": (
        "{*sentence*}\nQuestion: Is this sentence grammatically correct?\nAnswer: _____"
    ),
    "grammar.read": (
        "Read the following sentence, and answer whether it is grammatically correct.\n{*sentence*}"
    ),
    "grammar.choices": (
        "{*sentence*}\nDoes this sentence make sense grammatically?\nAnswer Choices\n- Yes\n- No"
    ),
    "grammar.yes_or_no": (
        "Yes or No? Yes = the following sentence is grammatically correct. "
        "No = it contains grammatical errors.\n{*sentence*}"
    ),
    "translate.question": (
        "{*sentence*}\nQuestion: What is the Chinese translation of this English sentence?\n"
        "Answer: _____"
    ),
    "translate.instruction": (
        "{*sentence*}\nTranslate this sentence from English into Chinese.\n_____"
    ),
    "translate.code": (
        "[src-lang] = English [tgt-lang] = Chinese [input] = {*sentence*}\n[output] = _____"
    ),
    "translate.full": "Translate the following sentence from English to Chinese.\n{*sentence*}",
    "translate.short": "Translate English to Chinese.\n{*sentence*}",
    "translate.word": "Translate!\n{*sentence*}",
}
TEMPLATES = {name: PromptTemplate(text) for name, text in _TEXTS.items()}


def with_system(prompt, system):
    """A plain prompt after system information about behavior   (book section 2.1.3, footnote 5)."""
    if system:
        return f"{system}\n{prompt}"
    return prompt


def tokens_saved(tokenizer, long, short, prompts):
    """Tokens saved in `prompts` uses by a shorter instruction   (book section 3.3.2)

    returns  (tokens, share of the long instruction's tokens)
    """
    tokens_long, tokens_short = len(tokenizer.encode(long)), len(tokenizer.encode(short))
    saved = tokens_long - tokens_short
    return saved * prompts, saved / tokens_long


def classify_by_likelihood(lm, x, labels, per_token=False):
    """The label y with the highest Pr(y | x)   (book section 2.1.3)

    The probability of a label of several tokens is the product of theirs, which favors short
    labels; the mean of the logarithms does not.

    lm         language model (generate/protocol/language_model.py) or a model of tinylm.models
    x          (m,) ids of the prompt
    labels     list of sequences of ids, each at least one
    per_token  compare means of the tokens' log-probabilities instead of their sums
    returns    (index of the best, (n,) float64 probabilities over the labels alone: they sum to 1)
    raises     DataError if there is no label, or an empty one
    """
    if not labels or not all(len(label) for label in labels):
        raise DataError("classify_by_likelihood: give at least one label, and no empty one")
    rows = [[*map(int, x), *map(int, label)] for label in labels]
    lengths = np.array([len(row) for row in rows])
    padded = np.array([row + [0] * (lengths.max() - len(row)) for row in rows])  # (n, T)
    # terms[:, t] = log Pr(token t + 1 | tokens 0 .. t), 0 in padding
    terms = sequence_logprob(as_language_model(lm), padded, lengths, reduction="none")  # (n, T - 1)
    scores = terms[:, len(x) - 1 :].sum(axis=1)  # of the labels' tokens alone: (n,)
    if per_token:
        scores = scores / (lengths - len(x))
    return int(scores.argmax()), np.exp(log_probabilities(scores))
