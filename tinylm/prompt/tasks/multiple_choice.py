"""Multiple choice: what is scored decides how often a model is right   (book section 3.1.4.5;
Hendrycks et al. 2021, MMLU).

    letters   the options are listed, and "A", "B", .. are scored after "Answer:"
    options   the options are listed, and their texts are scored
    cloze     the options are not listed; their texts are scored after the question, against their
              scores without it (Holtzman et al. 2021)

Long options are less probable, and some are probable after anything; Scores.by has the ways to
correct it. A reply that was generated is read by its letter. Read next:
../protocol/completion.py.
"""

import re
import string
from collections.abc import Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.fitted import fit_context, fit_options
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks.demonstrated import ends

LETTERS = string.ascii_uppercase
# After "A" and "I" a word may follow that shows them to be letters: "A because", not "A cat".
_AFTER_LETTER = "because|since|as|is|or|and"


def choice_prompt(item: Item, answered: bool = False) -> str:
    """The passage, if there is one, the question, its options with letters, and "Answer:".

        What melts? (A) ice (B) iron (C) both
        Answer:

    answered  with the letter of the gold option, for demonstrations
    raises    DataError for an item without options, or with more than there are letters
    """
    options = _options(item)
    listed = " ".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options))
    text = f"{_question(item)} {listed}\nAnswer:"
    if answered:
        return f"{text} {LETTERS[item.gold]}"
    return text


def choose_by_letter(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """The option whose letter is most probable after "Answer:".

    demonstrations  Items with options and answers
    seed, max_tokens  are not used: nothing is sampled
    returns         Answer: the option's text. details: "scores", "letter"; "kept" and "dropped"
                    demonstrations
    """
    letters = [f" {letter}" for letter in LETTERS[: len(_options(item))]]
    fitted = fit_options(lm, lambda kept: _listed(item, kept), demonstrations, letters)
    return _chosen(lm, item, lm.score(fitted.text, letters), "sum", fitted)


def choose_by_option(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    normalization: str = "character",
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """The listed option whose text is most probable, by one of the normalizations of Scores.by.

    normalization  "unconditional" compares with "Answer:" alone
    """

    def write(kept):
        shown = [f"{choice_prompt(demo)} {demo.options[demo.gold]}\n\n" for demo in kept]
        return "".join(shown) + choice_prompt(item)

    return _choose_text(lm, item, write, demonstrations, normalization)


def choose_by_cloze(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    normalization: str = "unconditional",
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """The option that best continues the question, the options not being listed.

    normalization  "unconditional": log Pr(option | question) - log Pr(option | "Answer:"), so an
                   option that is probable anywhere has no advantage
    """

    def write(kept):
        shown = [f"{_question(demo)}\nAnswer: {demo.options[demo.gold]}\n\n" for demo in kept]
        return f"{''.join(shown)}{_question(item)}\nAnswer:"

    return _choose_text(lm, item, write, demonstrations, normalization)


def choose_generated(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The option that a generated reply names; None if it names none, or several."""
    fitted = fit_context(lm, lambda kept: _listed(item, kept), demonstrations, max_tokens)
    stop = ends(lm, fitted.kept)
    reply = lm.complete(fitted.text, stop=stop, seed=seed, max_tokens=max_tokens)
    index = read_choice(reply.text, item.options)
    value = None
    if index is not None:
        value = item.options[index]
    return Answer(lm.parsed("answer", value), reply.text, fitted.details)


def read_choice(reply: str, options: Any) -> int | None:
    """The number of the option that a reply names, by the first of these that names just one:

    1. the reply is a letter or an option:                 "B", "(b).", "iron"
    2. a letter after "answer", "option" or "choice":      "So the answer is (c)."
    3. a letter in parentheses, or before one:             "I choose (B), since .."
    4. an option's text as whole words

    A small letter after a cue counts before a mark or an end: in "The answer is a cat" it is the
    article. What follows "not" is not named.

    returns  int, or None
    """
    letters = LETTERS[: len(options)]
    # 1. Nothing but a letter or an option, up to marks
    bare = reply.strip().strip("().:*\"' \n").casefold()
    for index, option in enumerate(options):
        if bare in (letters[index].casefold(), option.strip().strip(".").casefold()):
            return index
    # 2. and 3. A letter, which the article "a" and the pronoun "I" are not
    for named in (_after_cues(reply, letters), _in_parentheses(reply, letters)):
        if named:
            return _only(named)
    # 4. The options' own words
    return _only(
        {
            index
            for index, option in enumerate(options)
            if re.search(
                rf"(?<!\bnot )(?<!\w){re.escape(option.strip())}(?![\w+#])",
                reply,
                re.IGNORECASE,
            )
        }
    )


def _after_cues(reply, letters):
    """The numbers of the letters after "answer", "option" or "choice": "the answer is A or B"."""
    capital = rf"[{letters}](?![\w'+#])"
    certain = rf"(?![AI]\s+(?!(?:{_AFTER_LETTER})\b)\w){capital}"
    small = rf"[{letters.lower()}](?=[*\"]*(?:[.,;:!?)]|\s*$))"
    letter = rf"[*\"]*\(?(?:{certain}|{small})\)?[*\"]*"
    # In "option A" the A is no article, whatever follows.
    cue = rf"(?i:option|choice)\s+\(?{capital}|(?i:answer|option|choice)(?:\s+is)?\s*:?\s*{letter}"
    found = set()
    for match in re.finditer(rf"(?:{cue})(?:\s*(?:,|/|or|and)\s*{letter})*", reply, re.MULTILINE):
        # The cue has longer words; a word of one letter is named.
        found |= {letters.index(one.upper()) for one in re.findall(r"\b[A-Za-z]\b", match[0])}
    return found


def _in_parentheses(reply, letters):
    """The numbers of the letters in parentheses, or before one."""
    pattern = rf"(?<!\bnot )(?<![\w(])\(?([{letters}{letters.lower()}])\)"
    return {letters.index(letter.upper()) for letter in re.findall(pattern, reply)}


def _only(numbers):
    """The number of a set of one; None for others."""
    if len(numbers) != 1:
        return None
    return next(iter(numbers))


def _question(item):
    """The question, on the line after the passage that it is about, if there is one."""
    if item.context:
        return f"{item.context}\n{item.question}"
    return item.question


def _options(item):
    if not 2 <= len(item.options) <= len(LETTERS):
        raise DataError(
            f"multiple choice needs 2 to {len(LETTERS)} options; {item.question!r:.60} has "
            f"{len(item.options)}"
        )
    return item.options


def _listed(item, demonstrations):
    shown = [f"{choice_prompt(demo, answered=True)}\n\n" for demo in demonstrations]
    return "".join(shown) + choice_prompt(item)


def _choose_text(lm, item, write, demonstrations, normalization):
    """The Answer whose option is the most probable text after a prompt."""
    texts = [f" {option}" for option in _options(item)]
    fitted = fit_options(lm, write, demonstrations, texts)
    unconditional = None
    if normalization == "unconditional":
        # What makes an option probable without any question: frequent words, short texts
        unconditional = "Answer:"
    scores = lm.score(fitted.text, texts, unconditional=unconditional)
    return _chosen(lm, item, scores, normalization, fitted)


def _chosen(lm, item, scores, normalization, fitted):
    best = scores.best(normalization)
    value = lm.parsed("answer", item.options[best])
    return Answer(value, value, {"scores": scores, "letter": LETTERS[best], **fitted.details})
