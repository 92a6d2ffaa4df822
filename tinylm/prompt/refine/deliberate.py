"""Deliberate, then generate: name the error of a draft first, then write   (DTG; Li et al. 2023a;
book section 3.2.3).

    Given the Chinese sentence: ..
    The English translation is: ..
    Please first detect the error type, and then refine the translation.
    Error Type:

Feedback and refinement are one reply. In its second form the draft is no draft at all: it is a
random sentence of the corpus, and the error type "Incorrect Translation" stands there already. The
model gets negative evidence, what the answer is not (Marcus 1993), and needs no first run. Read
next: markov.py.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.refine.aspects import translate

DELIBERATE = PromptTemplate(
    "Given the {*from*} sentence: {*source*}\n"
    "The {*to*} translation is: {*target*}\n"
    "Please first detect the error type, and then refine the translation."
)
ERROR = "Error Type:"
WRONG = "Incorrect Translation"
REFINED = "Refined Translation:"
# "Omission", a line break or the name of the next field, and the text.
_REPLY = re.compile(rf"(?:\s*{ERROR})?\s*(.*?)(?:\n+|(?={REFINED}))\s*(?:{REFINED})?\s*(.*)", re.S)
STOP = "\nGiven the ", f"\n{ERROR}"


def deliberation_prompt(
    source: str, target: str, languages: tuple[str, ...] = ("Chinese", "English")
) -> str:
    """The prompt with a source and a draft, without the line of the error type: str."""
    names = {"from": languages[0], "to": languages[1]}
    return DELIBERATE.format(source=source, target=target, **names)


def read_deliberation(reply: str) -> tuple[str, str | None]:
    """(error type, refined text) of a reply after "Error Type:".

    The error type is the rest of the first line, and the text what follows, with or without the
    name "Refined Translation:" before it.

    returns  (str, str or None); None for a reply of one line: there is no refined text
    """
    found = _REPLY.fullmatch(reply.strip())
    if found is None:
        return reply.strip(), None
    return found[1].strip(), found[2].strip() or None


def deliberate(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    draft: str = "",
    source: str = "Chinese",
    target: str = "English",
) -> Answer:
    """Detect the error type of a draft and refine it, in one reply   (DTG)

    item            its question is the source sentence
    demonstrations  for the draft, if the model writes it
    draft           "": the model translates first
    source          language of the source sentence;  target  of the translation
    returns         Answer; details: draft, error, and the demonstrations that were dropped
    """
    dropped = ()
    if not draft:
        languages = {"source": source, "target": target}
        options: dict[str, Any] = {"seed": seed, "max_tokens": max_tokens, **languages}
        first = translate(lm, item, demonstrations, **options)
        draft, dropped = first.value, first.details["dropped"]
        if draft is None:
            details = {"draft": None, "error": None, "dropped": dropped}
            return Answer(None, first.text, details)
    # The reply begins with "Error Type:", so the first thing to be written is the error.
    prompt = deliberation_prompt(item.question, draft, (source, target)) + "\n"
    reply = lm.complete(prompt, begin=ERROR, stop=STOP, seed=seed + 1, max_tokens=max_tokens)
    error, text = read_deliberation(reply.text)
    lm.parsed("error type", error)
    details = {"draft": draft, "error": error, "dropped": dropped}
    return Answer(lm.parsed("refined", text), reply.text, details)


def wrong_draft(corpus: Sequence[str], reference: str, rng: np.random.Generator) -> str:
    """A random text of the corpus that is not the reference: str.

    corpus     list of str; equal texts count once
    reference  str, or None if it is unknown: then any text may be drawn
    rng        numpy Generator
    raises     DataError if nothing is left to draw from
    """
    # Each text once: a frequent sentence is no likelier draft than a rare one.
    texts = [text for text in dict.fromkeys(corpus) if text != reference]
    if not texts:
        raise DataError(
            f"wrong_draft: of the {len(corpus)} texts of the corpus none differs from the reference"
        )
    return texts[int(rng.integers(len(texts)))]


def deliberate_negative(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    corpus: Sequence[str] | None = None,
    source: str = "Chinese",
    target: str = "English",
) -> Answer:
    """Write after a random wrong draft and the error type "Incorrect Translation"   (DTG)

    item            its question is the source sentence; its answer, if known, is not drawn
    demonstrations  Items with answers: each is shown with a wrong draft of its own, and its answer
                    as the refined text
    corpus          list of str, texts in the language of the answers; None: the answers of the
                    demonstrations
    source, target  languages, as of deliberate
    returns         Answer; details: draft, and the demonstrations that were dropped
    raises          DataError if the corpus has no wrong text
    """
    if corpus is None:
        corpus = [answer_of(demo) for demo in demonstrations]
    rng, languages = np.random.default_rng(seed), (source, target)
    begin = f"{ERROR} {WRONG}"
    shown = []
    for demo in demonstrations:
        draft = wrong_draft(corpus, answer_of(demo), rng)
        prompt = deliberation_prompt(demo.question, draft, languages)
        shown.append(f"{prompt}\n{begin}\n{demo.answer}")
    # The error type stands there already: the model reads that the draft is wrong, not why.
    draft = wrong_draft(corpus, item.answer, rng)
    prompt = deliberation_prompt(item.question, draft, languages)
    # All drafts are drawn before: which ones does not depend on how many have room.
    fitted = fit_context(
        lm, lambda kept: "\n\n".join([*kept, prompt]) + "\n", shown, max_tokens, begin
    )
    reply = lm.complete(fitted.text, begin=begin, stop=STOP, seed=seed, max_tokens=max_tokens)
    text = reply.text.strip().removeprefix(REFINED).strip()
    text = lm.parsed("refined", text or None)
    dropped = tuple(demonstrations[: len(fitted.dropped)])
    return Answer(text, reply.text, {"draft": draft, "dropped": dropped})
