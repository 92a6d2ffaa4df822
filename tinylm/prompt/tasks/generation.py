"""Text generation: continuing a story or a dialogue, and writing under requirements   (book section
3.1.4.3).

A model that ignores a requirement ("five characters per line") is found out by a check, and may try
again; a text that meets none of the tries' checks is not handed on as an answer. Read next:
code_completion.py; ../template/constraints.py, the checks.
"""

from collections.abc import Callable, Sequence

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import Fitted, fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks.demonstrated import BETWEEN, fit_demonstrated
from tinylm.prompt.template.constraints import unmet
from tinylm.prompt.template.fields import complete_fields, parse_fields, render_fields
from tinylm.prompt.template.library import LIBRARY


def continue_story(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Continue the beginning of a story, which is the item's question: Answer.

    demonstrations  Items: beginnings, and as answers how they go on. The first blank line then
                    ends a reply, which may have paragraphs without them
    """
    fitted = fit_demonstrated(lm, LIBRARY["story"], item, demonstrations, max_tokens, "story")
    stop = ends_shown(fitted.kept)
    reply = lm.complete(fitted.text, stop=stop, seed=seed, max_tokens=max_tokens)
    value = lm.parsed("story", reply.text.strip() or None)
    return Answer(value, reply.text, fitted.details)


def ends_shown(demonstrations: Sequence[Item]) -> tuple:
    """What ends a reply after demonstrations: the blank line behind each; () without any."""
    if demonstrations:
        return (BETWEEN,)
    return ()


def continue_dialogue(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    speakers: tuple[str, ...],
    turns: int = 2,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Continue a dialogue, the speakers by turns.

    item      Item, whose question is the dialogue so far: lines "Name: content"
    demonstrations  Items: other dialogues, and as answers their next turns
    speakers  the names, in order; the next turn is that of the one after the last speaker
    turns     how many more
    returns   Answer: the new turns as lines. details: "turns" [(name, content)]; "kept" and
              "dropped" demonstrations of the last turn
    raises    DataError if the question has no turn of a speaker; ConfigError for no turn
    """
    check_counts("continue_dialogue", turns=turns)
    fields = parse_fields(item.question, tuple(speakers))
    if not fields or fields[-1][0] not in speakers or fields[-1][1] is None:
        raise DataError(
            f"continue_dialogue: {item.question!r:.60} must end with a turn of one of {speakers}"
        )
    given = len(fields)
    for turn in range(turns):
        # The speaker of the last turn is followed by the next in the list.
        before = speakers.index(fields[-1][0])
        opened = [*fields, (speakers[(before + 1) % len(speakers)], None)]
        # The dialogue grows, and leaves less room for the others.
        fitted = fit_dialogues(lm, opened, demonstrations, max_tokens)
        fields = complete_fields(
            lm,
            opened,
            ends_shown(fitted.kept),
            dialogues(fitted.kept),
            seed=seed + turn,
            max_tokens=max_tokens,
        )
    new = fields[given:]
    return Answer(render_fields(new), new[-1][1], {"turns": new, **fitted.details})


def dialogues(demonstrations: Sequence[Item]) -> str:
    """Whole dialogues in front of another: each with its next turns, and a blank line."""
    return "".join(f"{demo.question}\n{answer_of(demo)}{BETWEEN}" for demo in demonstrations)


def fit_dialogues(
    lm: TextLM,
    fields: Sequence[tuple[str, str | None]],
    demonstrations: Sequence[Item],
    answer: int,
) -> Fitted:
    """The prompt of an open field after as many dialogues as leave room for an answer: Fitted."""
    written = render_fields(fields)
    return fit_context(lm, lambda kept: dialogues(kept) + written, demonstrations, answer)


def requirements(constraints: Sequence[Callable]) -> str:
    """What constraints require, as lines for a prompt: "- no more than 50 words"."""
    return "\n".join(f"- {constraint('').requirement}" for constraint in constraints)


def requirements_prompt(task: str, constraints: Sequence[Callable] = ()) -> str:
    """The prompt that describes a text and states what it must meet."""
    if not constraints:
        return task
    return f"{task} Here are the requirements.\n{requirements(constraints)}"


def write(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    constraints: Sequence[Callable] = (),
    tries: int = 4,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Write what the item's question describes, under requirements that are stated and checked.

    demonstrations  Items: descriptions and, as answers, texts that meet the same requirements
    constraints  list of functions from a text to a Check (../template/constraints.py)
    tries, ..    as in generate_until, which also gives the result; and "kept" and "dropped"
                 demonstrations
    """

    def prompt(kept):
        own = requirements_prompt(item.question, constraints)
        if not kept:
            return own
        shown = [
            f"{requirements_prompt(demo.question, constraints)}\n{answer_of(demo)}" for demo in kept
        ]
        # Demonstrations begin their texts on the next line, and so must the reply.
        return BETWEEN.join([*shown, f"{own}\n"])

    fitted = fit_context(lm, prompt, demonstrations, max_tokens)
    stop = ends_shown(fitted.kept)
    answer = generate_until(lm, fitted.text, constraints, tries, seed, max_tokens, stop)
    answer.details.update(fitted.details)
    return answer


def generate_until(
    lm: TextLM,
    prompt: str,
    constraints: Sequence[Callable],
    tries: int = 4,
    seed: int = 0,
    max_tokens: int = 256,
    stop: str | Sequence[str] | None = (),
) -> Answer:
    """Replies to one prompt until one meets all constraints.

    The first is the most probable one, the others are drawn, with seeds of their own.

    lm       TextLM
    prompt   str
    tries    most replies
    stop     strings that end a reply
    returns  Answer; value None if no reply meets them. details: "unmet", the failed checks of every
             reply; text is the last reply
    raises   ConfigError for no tries
    """
    check_counts("generate_until", tries=tries)
    failures = []
    for number in range(tries):
        # Without sampling every try would be the same.
        sampling = {"temperature": 1.0} if number else {}
        reply = lm.complete(
            prompt, stop=stop, seed=seed + number, max_tokens=max_tokens, **sampling
        )
        text = reply.text.strip()
        failures.append(unmet(text, constraints))
        # An empty text meets every upper limit.
        if text and not failures[-1]:
            return Answer(lm.parsed("text", text), reply.text, {"unmet": failures})
    return Answer(lm.parsed("text", None), reply.text, {"unmet": failures})
