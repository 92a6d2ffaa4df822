"""Methods that make a prompt shorter, and answer after the short one   (book section 3.3.3).

What is shortened is the part that a rule or a model may shorten: an instruction, a passage, or
demonstrations; the question keeps all of its words, except in LLMLingua. Every answer reports the
tokens before and after. A model that reads a text to shorten it spends tokens too, which are
counted: a short prompt pays where it is used again, or where a smaller model makes it. Read first:
../compress. Read next: methods.py.
"""

from collections.abc import Sequence
from dataclasses import replace

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.compress import Compressed, simplify_with_limit
from tinylm.prompt.compress.llmlingua import llmlingua
from tinylm.prompt.compress.selective_context import selective_context
from tinylm.prompt.compress.simplify import simplify
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.protocol.text_lm import TextLM


def simplified(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The instruction shortened by rules, which need no model.

    prompt   FewShotPrompt with the instruction, before demonstrations and question
    returns  Answer as of few_shot; details: "report" with the short instruction and the tokens
    raises   ConfigError without an instruction
    """
    prompt = prompt or FewShotPrompt()
    if not prompt.instruction.strip():
        raise ConfigError("simplified: give an instruction: prompt=FewShotPrompt(...)")
    short = Compressed.of(lm, prompt.instruction, simplify(prompt.instruction))
    prompt = replace(prompt, instruction=short.text)
    answer = few_shot(lm, item, demonstrations, prompt=prompt, seed=seed, max_tokens=max_tokens)
    return _reported(answer, "instruction", short, {"instruction": short.text})


def selective_passage(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    keep_ratio: float = 0.5,
    unit: str = "phrase",
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Selective Context: the passage loses the units that the model expects.

    keep_ratio  share of the units that stays; of tokens it may be another
    unit        "token", "word", "phrase" or "sentence"
    returns     Answer as of few_shot; details: "report" with the tokens
    raises      DataError for an item without a passage
    """
    short = selective_context(lm, _passage(item, "selective_passage"), keep_ratio, unit)
    return _after_passage(lm, item, demonstrations, short, prompt, seed, max_tokens)


def limited_passage(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    limit: int = 64,
    retries: int = 3,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The model writes a short form of the passage; where it stays too long, its end is cut off.

    limit    most tokens of the passage;  retries  after the first attempt
    returns  Answer as of few_shot; details: "report" with the tokens
    raises   DataError for an item without a passage; ConfigError for a limit below 1
    """
    check_counts("limited_passage", limit=limit)
    check_counts("limited_passage", least=0, retries=retries)
    passage = _passage(item, "limited_passage")
    short = simplify_with_limit(lm, passage, limit, retries, seed=seed, reply_tokens=2 * limit)
    return _after_passage(lm, item, demonstrations, short, prompt, seed, max_tokens)


def compressed(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    rate: float = 0.5,
    instruction_rate: float = 0.85,
    question_rate: float = 0.9,
    control: float = 2.0,
    segment: int = 100,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """LLMLingua: instruction, demonstrations and question keep a share of their tokens, of which
    demonstrations give up most.

    A passage is compressed as one more demonstration. The names of the question's fields are not:
    the model is to know where to answer.

    prompt    FewShotPrompt
    rate, instruction_rate, question_rate, control, segment   of compress.llmlingua
    returns   Answer as of few_shot; details: "report" with the tokens
    raises    DataError for a question without demonstrations and without a passage, or one of which
              nothing is left
    """
    check_counts("compressed", segment=segment)
    prompt = prompt or FewShotPrompt()
    texts = [prompt.demonstration(demo) for demo in demonstrations]
    if item.context:
        texts.append(item.context)
    if not texts:
        raise DataError("compressed: without demonstrations or a passage nothing can be shortened")
    short = llmlingua(
        lm,
        prompt.instruction,
        texts,
        item.question,
        rate,
        instruction_rate=instruction_rate,
        question_rate=question_rate,
        control=control,
        segment=segment,
        separator=prompt.separator,
    )
    *before, question = short.details["parts"]
    if not question.strip():
        raise DataError(f"compressed: nothing is left of the question {item.question!r:.60}")
    # What stands before the question is one text now, as an instruction is.
    whole = replace(prompt, instruction=prompt.separator.join(filter(None, before)))
    asked = replace(item, question=question, context="")
    answer = few_shot(lm, asked, prompt=whole, seed=seed, max_tokens=max_tokens)
    return _reported(answer, "prompt", short)


def _passage(item, method):
    if not item.context.strip():
        raise DataError(f"{method}: the question {item.question!r:.60} has no passage to shorten")
    return item.context


def _after_passage(lm, item, demonstrations, short, prompt, seed, max_tokens):
    """The answer after a short passage, a Compressed."""
    asked = replace(item, context=short.text.strip())
    options = {"prompt": prompt, "seed": seed, "max_tokens": max_tokens}
    return _reported(few_shot(lm, asked, demonstrations, **options), "passage", short)


def _reported(answer, part, short, more=()):
    """The Answer with the tokens of a part before and after in its report."""
    report = {f"tokens of the {part}": short.before, "tokens that are left of it": short.tokens}
    answer.details["report"] = dict(more) | report
    return answer
