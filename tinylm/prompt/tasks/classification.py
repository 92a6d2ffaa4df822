"""Classification by prompting, in three ways   (book section 3.1.4.1, eq. 3.1).

    generated   "Analyze the polarity of the following text ..": a free reply, mapped to a label
    cloze       ".. The polarity of the text is ____": the next words, mapped to a label
    scores      y = argmax over y in Y of Pr(y | x), with x up to the blank      (3.1)

The first needs a mapping (labels.py), which may fail; the last chooses among the labels and cannot.
Labels that begin alike ("ne") share the probability of that token, so what is generated greedily
need not be the argmax of (3.1).
Item.question is the text, Item.options the labels Y. Read next: verbalizer.py; extraction.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import fit_context, fit_options
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks.labels import LabelMapper

CONTENT_FREE = "N/A"  # in place of the text for the prior of a label (Zhao et al. 2021)


@dataclass(frozen=True)
class ClassificationPrompt:
    """The words around a text that is to be classified.

    attribute    what the labels are values of
    definitions  ((label, what it means), ..): a line each, for classes that need explanation
    only_label   end with the question, and "Just answer: positive, negative, or neutral."
    """

    attribute: str = "polarity"
    definitions: tuple = ()
    only_label: bool = False

    @property
    def cloze(self) -> str:
        """The sentence that the label completes."""
        return f"The {self.attribute} of the text is"

    def instruction(self, labels: tuple[str, ...]) -> str:
        """What is to be done, with the labels and their definitions."""
        text = (
            f"Analyze the {self.attribute} of the following text and classify it as "
            f"{listed(labels)}."
        )
        if not self.definitions:
            return text
        lines = [
            f"{label[:1].upper()}{label[1:]}: {meaning}." for label, meaning in self.definitions
        ]
        return "\n".join([f"{text} The classes are defined as follows.", *lines])

    def prompt(self, item: Item, demonstrations: Sequence[Item] = ()) -> str:
        """The prompt for a text: ends with a line break, after which an answer begins.

        demonstrations  Items with answers
        raises          DataError for an item without options, or a demonstration without an answer
        """
        if not item.options:
            raise DataError(f"the labels of {item.question!r:.60} are its options; it has none")
        shown = []
        for demo in demonstrations:
            # A demonstration has the form that the reply is to have.
            answer = answer_of(demo)
            if not self.only_label:
                answer = f"{self.cloze} {answer}."
            shown.append(f"{self._text(demo.question, item.options)}\n{answer}\n\n")
        head = self.instruction(item.options)
        return f"{head}\n{''.join(shown)}{self._text(item.question, item.options)}\n"

    def _text(self, text, labels):
        lines = ["Text:", text]
        if self.only_label:
            lines.append(f"What is the {self.attribute} of the text?")
            lines.append(f"Just answer: {listed(labels)}.")
        return "\n".join(lines)


def listed(words: tuple[str, ...]) -> str:
    """Words as a list in a sentence: "positive, negative, or neutral"; "yes or no"."""
    # The comma before "or" only where there are three or more.
    *others, last = words
    if len(others) > 1:
        return f"{', '.join(others)}, or {last}"
    return " or ".join(words)


def classify_generated(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: ClassificationPrompt = ClassificationPrompt(),
    mapper: LabelMapper | None = None,
    seed: int = 0,
    max_tokens: int = 48,
) -> Answer:
    """Classify a text by a free reply that is mapped to a label.

    lm       TextLM
    prompt   ClassificationPrompt
    mapper   LabelMapper; None: one of the item's labels without synonyms
    returns  Answer; value None if no rule decides. details: "mapped", how the label was found;
             "kept" and "dropped" demonstrations
    """
    mapper = mapper or LabelMapper(item.options)
    fitted = fit_context(lm, lambda kept: prompt.prompt(item, kept), demonstrations, max_tokens)
    reply = lm.complete(fitted.text, stop=("\nText:",), seed=seed, max_tokens=max_tokens)
    mapped = mapper.read(reply.text)
    label = lm.parsed("label", mapped.label)
    return Answer(label, reply.text, {"mapped": mapped, **fitted.details})


def classify_by_cloze(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: ClassificationPrompt = ClassificationPrompt(),
    mapper: LabelMapper | None = None,
    seed: int = 0,
    max_tokens: int = 8,
) -> Answer:
    """Classify a text by the words that complete "The polarity of the text is".

    Arguments and result as in classify_generated; only the first sentence of the reply is read.
    """
    mapper = mapper or LabelMapper(item.options)
    # The sentence to complete stands in place of the question.
    prompt = replace(prompt, only_label=False)
    fitted = fit_context(
        lm, lambda kept: prompt.prompt(item, kept), demonstrations, max_tokens, prompt.cloze
    )
    reply = lm.complete(
        fitted.text,
        begin=prompt.cloze,
        stop=("\n", "."),
        seed=seed,
        max_tokens=max_tokens,
    )
    mapped = mapper.read(reply.text)
    label = lm.parsed("label", mapped.label)
    return Answer(label, reply.text, {"mapped": mapped, **fitted.details})


def classify_by_scores(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: ClassificationPrompt = ClassificationPrompt(),
    normalization: str = "sum",
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """Classify a text by the label of greatest probability   (book eq. 3.1)

        y = argmax over y in Y of Pr(y | x),   x = "... The polarity of the text is"

    The probability of a label of several tokens is the product of theirs.

    normalization  as in Scores.by. "unconditional" divides by the label's probability after the
                   same prompt with the text "N/A", which corrects a preference for a label
                   (contextual calibration, Zhao et al. 2021: no part of eq. 3.1)
    seed, max_tokens  are not used: nothing is sampled
    returns        Answer; details: "scores", and "probabilities" {label: its share}, the softmax of
                   the scores; "kept" and "dropped" demonstrations
    """
    prompt = replace(prompt, only_label=False)
    # The space before a word belongs to it (protocol/seam.py).
    labels = [f" {label}" for label in item.options]
    fitted = fit_options(
        lm, lambda kept: prompt.prompt(item, kept), demonstrations, labels or [""], prompt.cloze
    )
    # Pr(y | prompt without a text): what the model prefers before it has read anything.
    unconditional = None
    if normalization == "unconditional":
        empty = replace(item, question=CONTENT_FREE, answer=None)
        unconditional = prompt.prompt(empty, fitted.kept)
    scores = lm.score(fitted.text, labels, begin=prompt.cloze, unconditional=unconditional)
    value = lm.parsed("label", item.options[scores.best(normalization)])
    shares = dict(zip(item.options, scores.probabilities(normalization).tolist()))
    details = {"scores": scores, "probabilities": shares, **fitted.details}
    return Answer(value, value, details)
