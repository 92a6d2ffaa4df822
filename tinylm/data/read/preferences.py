"""Pairs of answers of which one was preferred, from the usual forms of files   (book sections
2.1.4, 4.3.2, 4.4.2).

    {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
    {"instruction": "Add.", "input": "2 2", "output": "4", "chosen": "4", "rejected": "5"}
    {"prompt": [messages], "chosen": [message], "rejected": [message]}     TRL's, the prompt apart
    {"chosen": [messages], "rejected": [messages]}                         TRL's, the prompt in both
    {"chosen": "2 + 2? 4", "rejected": "2 + 2? 5"}                         likewise, of texts
    {"prompt": "2 + 2?", "completion": "4", "label": true}                 one answer, judged
    {"prompt": "2 + 2?", "completion": "4", "rating": 8.5}                 one answer, rated
    {"prompt": "2 + 2?", "completions": ["4", "5"], "ratings": [8.5, 1]}   several, rated

Both answers of a pair belong to one prompt, which may be a conversation: all turns but the last are
shared. Read next: align/feedback/pairs.py, which turns pairs into tokens.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tinylm.data.read.instructions import Instruction, as_sample
from tinylm.data.read.messages import read_messages
from tinylm.data.read.records import (
    INPUT,
    PROMPTS,
    SYSTEM,
    fields_there,
    input_text,
    one_name,
    only_fields,
    prompt_in_pair,
    read_records,
    shared_prompt,
    system_text,
)
from tinylm.errors import DataError
from tinylm.fields import of_type
from tinylm.reading import BadLines, json_text


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which people preferred the first.

    prompt  what the user wrote last;  chosen, rejected  the answers
    before  tuple of (role, content), turns before that: system information, earlier answers
    implicit  True if the record has no field for its prompt, which is what both texts begin with
    """

    prompt: str
    chosen: str
    rejected: str
    before: tuple[tuple[str, str], ...] = ()
    implicit: bool = field(default=False, kw_only=True)

    def prompt_messages(self) -> list[dict[str, str]]:
        """The conversation up to the answers: list of {"role", "content"}."""
        turns = (*self.before, ("user", self.prompt))
        return [{"role": role, "content": content} for role, content in turns]

    def conversations(self) -> tuple[list[dict[str, str]], ...]:
        """The whole conversation with the chosen answer, and with the rejected one."""
        prompt = self.prompt_messages()
        return tuple(
            [*prompt, {"role": "assistant", "content": answer}]
            for answer in (self.chosen, self.rejected)
        )


@dataclass(frozen=True)
class Judged:
    """One answer to a prompt, and whether it is wanted.

    prompt  what the user wrote last;  before  turns before that, as in Preference
    """

    prompt: str
    answer: str
    desirable: bool
    before: tuple[tuple[str, str], ...] = ()

    def messages(self) -> list[dict[str, str]]:
        """The conversation with its answer: list of {"role", "content"}."""
        turns = (*self.before, ("user", self.prompt), ("assistant", self.answer))
        return [{"role": role, "content": content} for role, content in turns]


@dataclass(frozen=True)
class Rated:
    """One answer to a prompt and a number for it; higher is better."""

    prompt: str
    answer: str
    rating: float


def read_preferences(path: str | Path, bad: BadLines | None = None) -> list[Preference]:
    """The pairs of a file; see the docstring of this module for its forms.

    path     a JSON file with a list, or JSON lines (may be .gz)
    bad      reading.BadLines that takes records that cannot be read; by default they raise
    returns  list of Preference, in the order of the file
    raises   DataError with the line or number of the first record that cannot be read, or if the
             file has none
    """
    return read_records(path, _pairs, bad)


def read_judged(path: str | Path, bad: BadLines | None = None) -> list[Judged]:
    """The judged answers of a file: records with a prompt, a completion, and a label true or false.

    returns  list of Judged;  arguments and errors as in read_preferences
    """
    return read_records(path, _judged, bad)


def read_feedback(
    path: str | Path, bad: BadLines | None = None, places: list[str] | None = None
) -> list:
    """All that a file says of answers, whatever its form: list of Preference, Judged and Rated.

    places   a list that receives the place of each, such as "line 3"
    others   as in read_preferences
    """
    return read_records(path, _feedback, bad, places)


RATINGS = ("rating", "ratings", "score", "scores")
_COMPLETIONS = ("completions", "responses", "completion", "response", "output", "answer")


def _feedback(record):
    if isinstance(record, dict):
        if "label" in record and "chosen" not in record:
            return _judged(record)
        if fields_there(record, RATINGS):
            return _rated(record)
        if not fields_there(record, ("chosen", "rejected")):
            fields = ", ".join(map(repr, record)) or "(none)"
            raise DataError(
                f"nothing among the fields {fields} judges an answer: a pair has 'chosen' and "
                "'rejected', a single answer a 'label', true or false, or a 'rating'"
            )
    return _pairs(record)


def _rated(record):
    """The Rated of a record: one answer and its number, or a list of each."""
    prompts, answers = fields_there(record, PROMPTS), fields_there(record, _COMPLETIONS)
    ratings = fields_there(record, RATINGS)
    for names in (prompts, answers, ratings):
        one_name(names)
    if not prompts or not answers:
        raise DataError("a rated answer has a prompt, a completion and a rating")
    only_fields(record, *prompts, *answers, *ratings, *INPUT, "task")
    prompt = Instruction(json_text(record, prompts[0]), "", input_text(record)).user
    texts, numbers = record[answers[0]], record[ratings[0]]
    if isinstance(texts, str):
        texts, numbers = [texts], [numbers]
    whole = isinstance(texts, list) and isinstance(numbers, list) and len(texts) == len(numbers)
    if not whole or not all(of_type(text, str) for text in texts):
        raise DataError(
            f"the fields {answers[0]!r} and {ratings[0]!r} must be a text and a number, or lists "
            "of these of one length"
        )
    wrong = [number for number in numbers if not of_type(number, float)]
    if wrong:
        raise DataError(f"the field {ratings[0]!r} holds {wrong[0]!r:.60}; a rating is a number")
    return [Rated(prompt, text, float(number)) for text, number in zip(texts, numbers)]


def _judged(record):
    if not isinstance(record, dict) or not isinstance(record.get("label"), bool):
        raise DataError(f"a judged answer has a field 'label', true or false, not {record!r:.60}")
    label = record["label"]
    rest = {name: value for name, value in record.items() if name != "label"}
    sample = as_sample(rest)
    turns = tuple((one["role"], one["content"]) for one in sample.messages())
    if len(turns) < 2 or [role for role, _ in turns[-2:]] != ["user", "assistant"]:
        raise DataError("a judged answer ends with a message of the user and the answer to it")
    return [Judged(turns[-2][1], turns[-1][1], label, turns[:-2])]


def _pairs(record):
    if not isinstance(record, dict) or not {"chosen", "rejected"} <= set(record):
        raise DataError(f"a pair has the fields 'chosen' and 'rejected', not {record!r:.60}")
    record = {name: value for name, value in record.items() if value is not None}
    if isinstance(record.get("chosen"), list):
        return [_of_messages(record)]
    if prompt_in_pair(record):
        _check_scores(record)
        only_fields(record, *SYSTEM, "task", "chosen", "rejected", *_SCORES)
        return [Preference(*shared_prompt(record), _system_turn(record), implicit=True)]
    names = fields_there(record, PROMPTS)
    one_name(names)
    instruction = json_text(record, (names or ["prompt"])[0])
    _check_scores(record)
    known = ("task", "chosen", "rejected", "output", *_SCORES)
    only_fields(record, *names, *INPUT, *SYSTEM, *known)
    prompt = Instruction(instruction, "", input_text(record)).user
    answers = json_text(record, "chosen"), json_text(record, "rejected")
    return [Preference(prompt, *answers, _system_turn(record))]


_SCORES = ("score_chosen", "score_rejected")  # as in files made of ratings (UltraFeedback)


def _check_scores(record):
    """Raise DataError if the scores of both answers say that the rejected one is the better."""
    scores = [record[name] for name in _SCORES if name in record]
    if not all(of_type(score, float) for score in scores):
        raise DataError(f"the fields {' and '.join(map(repr, _SCORES))} must be numbers")
    if len(scores) == 2 and scores[0] < scores[1]:
        raise DataError(
            f"the rejected answer has the greater score, {scores[1]:g} above {scores[0]:g}: "
            "exchange the answers"
        )


def _system_turn(record):
    system = system_text(record)
    if system:
        return (("system", system),)
    return ()


def _of_messages(record):
    """The Preference of two lists of messages: one conversation with two last messages."""
    _check_scores(record)
    only_fields(record, "prompt", *SYSTEM, "chosen", "rejected", "task", *_SCORES)
    chosen, rejected = read_messages(record["chosen"]), read_messages(record.get("rejected"))
    prompt = record.get("prompt", [])
    if isinstance(prompt, str):
        prompt = _as_list(prompt, chosen)
    elif prompt:
        prompt = read_messages(prompt)
    # The shared turns are in "prompt", or at the beginning of both lists, or in both places.
    shared = prompt + chosen[:-1]
    turns = (*_system_turn(record), *((one["role"], one["content"]) for one in shared))
    last = chosen[-1], rejected[-1]
    if (
        prompt + rejected[:-1] != shared
        or [one["role"] for one in last] != ["assistant"] * 2
        or not turns
        or turns[-1][0] != "user"
        or any(set(one) != {"role", "content"} for one in (*shared, *last))
    ):
        raise DataError(
            "a pair of lists of messages must be one conversation, the same up to its last "
            "message, which answers the user"
        )
    if [role for role, _ in turns].count("system") > 1:
        raise DataError("the system information is there twice: as a field and as a message")
    return Preference(turns[-1][1], last[0]["content"], last[1]["content"], turns[:-1])


def _as_list(prompt, chosen):
    """The messages of a "prompt" that is a text beside lists: none if these repeat it."""
    users = [one["content"] for one in chosen if one["role"] == "user"]
    if not users:
        return [{"role": "user", "content": prompt}]
    if users[0] != prompt:
        raise DataError("the field 'prompt' is not the first message of the user in the lists")
    return []
