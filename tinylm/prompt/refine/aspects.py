"""Refinement without feedback: "Please refine it!", or one aspect alone   (book section 3.2.3).

The prompt holds the source and a draft, and an instruction: improve it in general, or mend one
thing, such as its grammar. Repeated, each refinement gets the draft that the one before has
written. Whether a refinement kept to its aspect is seen in what it changed (`changes`). Read next:
deliberate.py.
"""

import difflib
from collections.abc import Sequence

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.refine.feedback import without_names

TRANSLATE = PromptTemplate(
    "Translate the following text from {*source*} to {*target*}:\n{*source*}: {*text*}\n{*target*}:"
)
# The first three are the book's.
INSTRUCTIONS = {
    "general": "Please refine the translation to improve its accuracy and fluency if necessary.",
    "short": "Please refine it!",
    "grammar": "Please correct all grammatical errors in the translation.",
    "terms": "Please correct all wrongly translated terms in the translation.",
    "omissions": "Please add everything of the source that the translation leaves out.",
}
REFINE = PromptTemplate(
    "You are given {*article*} {*source*} text along with its {*target*} translation. "
    "{*instruction*}\n"
    "{*source*}: {*text*}\n"
    "{*target*}: {*draft*}\n"
    "Refinement:"
)


def refinement_prompt(
    text: str,
    draft: str,
    instruction: str = "general",
    languages: tuple[str, ...] = ("Chinese", "English"),
) -> str:
    """The prompt that asks for a better translation: str.

    text         in the first language;  draft  in the second
    instruction  a key of INSTRUCTIONS, or a sentence of its own
    languages    their names, the source's first
    """
    source, target = languages
    article = "a"
    if source[0] in "AEIOU":
        article = "an"
    return REFINE.format(
        article=article,
        source=source,
        target=target,
        text=text,
        draft=draft,
        instruction=INSTRUCTIONS.get(instruction, instruction),
    )


def translate(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    source: str = "Chinese",
    target: str = "English",
) -> Answer:
    """The draft: a translation of the question, after those of the demonstrations that have room:
    Answer.
    """
    names = {"source": source, "target": target}

    def write(kept):
        shown = [
            f"{TRANSLATE.format(text=demo.question, **names)} {answer_of(demo)}" for demo in kept
        ]
        return "\n\n".join([*shown, TRANSLATE.format(text=item.question, **names)])

    fitted = fit_context(lm, write, demonstrations, max_tokens)
    reply = lm.complete(fitted.text, stop=_stop(source, target), seed=seed, max_tokens=max_tokens)
    text = without_names(reply.text, [target])
    return Answer(lm.parsed("draft", text or None), text, fitted.details)


def refine_aspects(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    draft: str = "",
    instructions: tuple[str, ...] = ("general",),
    source: str = "Chinese",
    target: str = "English",
) -> Answer:
    """Refine a translation, one instruction after the other   (book section 3.2.3)

    item          its question is the source text
    draft         y_0; "": the model translates first, with the demonstrations
    source        language of the source text;  target  of the translation
    instructions  keys of INSTRUCTIONS or sentences; each gets the draft of the one before
    returns       Answer; details: drafts, changes of each refinement, and the demonstrations that
                  were dropped. None if a reply was empty
    raises        ConfigError without an instruction
    """
    if isinstance(instructions, str) or not instructions:
        raise ConfigError(
            f"refine_aspects: instructions is a list of at least one, not {instructions!r}"
        )
    languages = source, target
    options, dropped = {"max_tokens": max_tokens}, ()
    if not draft:
        first = translate(
            lm, item, demonstrations, source=source, target=target, seed=seed, **options
        )
        draft, dropped = first.value, first.details["dropped"]
        if draft is None:
            return Answer(None, "", {"drafts": [], "changes": [], "dropped": dropped})
    drafts, changed = [draft], []
    details = {"drafts": drafts, "changes": changed, "dropped": dropped}
    # y_{t+1} follows from the source, y_t and instruction t alone: there is no feedback.
    for t, instruction in enumerate(instructions):
        prompt = refinement_prompt(item.question, drafts[-1], instruction, languages)
        reply = lm.complete(prompt, stop=_stop(*languages), seed=seed + t + 1, **options)
        refined = lm.parsed("draft", without_names(reply.text, ["Refinement", target]))
        if not refined:
            return Answer(None, reply.text, details)
        changed.append(changes(drafts[-1], refined))
        drafts.append(refined)
    return Answer(drafts[-1], reply.text, details)


def _stop(source, target):
    """What a reply must not go on with: another field, or another task."""
    return tuple(f"\n{name}" for name in (f"{source}:", f"{target}:", "Refinement:", "\n"))


def changes(before: str, after: str) -> list[tuple[list, list[str]]]:
    """What a refinement changed, in words: list of (words before, words after), two lists each.

    A word inserted has [] before, one deleted [] after. Raises DataError for a text without words.
    """
    # The longest block of equal words, then those to its left and right (Ratcliff, Obershelp).
    old, new = before.split(), after.split()
    if not old or not new:
        raise DataError("changes: both texts need at least one word")
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(old[i:j], new[k:m]) for kind, i, j, k, m in blocks if kind != "equal"]
