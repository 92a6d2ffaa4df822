"""Prompting a masked language model: words are scored in the place of [MASK]   (book sections 3.4
and 1.1.2.2; Schick & Schuetze 2021).

    The tram was late again. It was [MASK].        Pr(good | ..), Pr(bad | ..)

BERT was made to be fine-tuned; but the words around a [MASK] make its pre-training objective a task
without any training. It sees both sides, so the blank may stand anywhere. A word of several tokens
has as many masks, which are filled from the left:

    log Pr(w | text) = sum_j log Pr(w_j | text, w_<j, masks at j .. n)

Read next: verbalizer.py; ../../finetune/tasks/classify.py, the fine-tuned way.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinylm.autograd import no_grad
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.generate.protocol.score import log_probabilities
from tinylm.models.encoder.encoder import Encoder
from tinylm.pretrain.special import Special
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.completion import Scores
from tinylm.prompt.protocol.seam import split_space
from tinylm.prompt.tasks.verbalizer import label_masses, words_of

BLANK = "[MASK]"


class MaskedCloze:
    """An encoder that scores words in a blank.

    model    callable from ids (B, T) to logits (B, T, V), such as models.encoder.Encoder with a
             token head
    encode   function from a text to its ids, without special ones
    special  Special of the vocabulary, with mask; cls and sep are put around the text if there are
             any
    """

    def __init__(self, model: Encoder, encode: Callable, special: Special) -> None:
        special.need("MaskedCloze", "mask")
        self.model, self.encode, self.special = model, encode, special

    def score(self, text: str, words: Sequence[str]) -> Scores:
        """The log-probabilities of words in the blank.

        text     str with "[MASK]" in one place. White space before it belongs to the word
        words    list of str
        returns  Scores: terms are those of the words' tokens, from the left
        raises   DataError for a text with no blank or several, or a word without tokens
        """
        if text.count(BLANK) != 1:
            raise DataError(
                f"MaskedCloze: {text!r:.80} must have {BLANK} in one place, not {text.count(BLANK)}"
            )
        before, after = text.split(BLANK)
        # As with a causal model: "was [MASK]" is filled with " good".
        before, space = split_space(before)
        before, after = self._ids(before), self._ids(after)
        # [CLS] before [MASK] .. [MASK] after [SEP]
        if self.special.cls is not None:
            before = [self.special.cls, *before]
        if self.special.sep is not None:
            after = [*after, self.special.sep]
        tokens = [self._ids(space + word) for word in words]
        empty = [word for word, ids in zip(words, tokens) if not ids]
        if empty or not words:
            raise DataError(
                f"MaskedCloze: give at least one word, and none without tokens: {words}"
            )
        # Step by step: each word's j-th token after its first j - 1, all words in one batch.
        terms = [np.zeros(len(ids)) for ids in tokens]
        for j in range(max(map(len, tokens))):
            # Words that have a j-th token
            open_words = [k for k, ids in enumerate(tokens) if j < len(ids)]
            for n in sorted({len(tokens[k]) for k in open_words}):  # rows of one length together
                group = [k for k in open_words if len(tokens[k]) == n]
                # (words of the group, T): j tokens are known, n - j are masked
                rows = [
                    before + tokens[k][:j] + [self.special.mask] * (n - j) + after for k in group
                ]
                # Words that begin alike, all of them at j = 0, share a row: (n_rows, T).
                rows, place = np.unique(np.array(rows, np.int64), axis=0, return_inverse=True)
                logits = self._logits(rows)[:, len(before) + j]  # (n_rows, V)
                logs = log_probabilities(logits)
                for row, k in zip(place.reshape(-1), group):
                    terms[k][j] = logs[row, tokens[k][j]]
        return Scores(tuple(words), tuple(terms), apart=(False,) * len(words))

    def _ids(self, text):
        return [int(i) for i in self.encode(text)]

    def _logits(self, ids):
        training = getattr(self.model, "training", False)
        if training:
            self.model.eval()
        try:
            with no_grad():
                return np.asarray(self.model(ids).data, np.float64)
        finally:
            if training:
                self.model.train()


def classify_by_mask(
    cloze: MaskedCloze,
    item: Item,
    template: PromptTemplate,
    verbalizer: dict[str, tuple[str, ...]],
    *,
    normalization: str = "sum",
) -> Answer:
    """Classify a text by the words of each label in a blank.

    cloze          MaskedCloze
    item           Item, whose question is the text
    template       PromptTemplate with the slot "text", and [MASK]: "{*text*} It was [MASK]."
    verbalizer     {label: words}
    normalization  "token" compares words of unlike length, as each further mask costs something
    returns        Answer; details as in classify_by_verbalizer
    """
    words = words_of(verbalizer)
    scores = cloze.score(template.format(text=item.question), words)
    masses = label_masses(scores, verbalizer, normalization)
    value = max(masses, key=masses.get)
    return Answer(value, words[scores.best(normalization)], {"scores": scores, "masses": masses})
