"""The book's templates for tuning on instructions, and the choice of a label by its probability.

One task has many phrasings; a model tuned on several also follows others. Book sections 2.1.3 and
4.2. Read first: prompt_template.py; read next: instructions.py; data/read/instructions.py.
"""

import numpy as np

from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_probabilities, sequence_logprob

# A question, three phrasings of one binary task, and three styles for translation.
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
    # Fields in columns, as section 4.2 prints instruction, input and the place of the output.
    "fields": ("Instruction   {*instruction*}\nInput         {*input*}\nOutput        _____"),
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
