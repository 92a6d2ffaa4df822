"""Instructions about lists of words, for a tiny assistant that is aligned in all stages   (book
sections 4.2, 4.3).

    list : red fox pear owl . name the first animal .     ->  the first animal is fox .

A task is one of five operations on one of four categories, with a known answer. Articles, the text
of pre-training, state such facts and have neither instructions nor replies, so a base model has
the abilities and goes on with the article. Four of the twenty tasks and one of four phrasings are
left out of tuning, for tests. A reply has one of three styles, and a hidden gold reward says what
people like: a right answer in a full sentence without small talk. Read next:
align/feedback/annotators.py, which labels by such a reward;
scripts/4_alignment/alignment_pipeline.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.data.read.instructions import Instruction
from tinylm.data.synthetic.draws import distinct, pick
from tinylm.errors import ConfigError

# {category: (its plural, its eight words)}
CATEGORIES = {
    "animal": ("animals", "fox owl cat dog cow pig hen bee"),
    "color": ("colors", "red blue green pink gray black white brown"),
    "fruit": ("fruits", "pear plum fig lime apple peach mango grape"),
    "tool": ("tools", "saw axe pen rope nail fork spade brush"),
}
OPERATIONS = ("first", "last", "count", "all", "backwards")
NUMBERS = "zero one two three four five six".split()
NONE = "none"
# What a reply states before " is " or " are " and the answer.
SUBJECTS = {
    "first": "the first {one} is",
    "last": "the last {one} is",
    "count": "the number of {many} is",
    "all": "the {many} are",
    "backwards": "the {many} backwards are",
}
# Four phrasings of each operation, of which the last is left out of tuning.
PHRASINGS = {
    "first": ("name the first {one} .", "which {one} is first ?", "i need the first {one} ."),
    "last": ("name the last {one} .", "which {one} is last ?", "i need the last {one} ."),
    "count": ("name the number of {many} .", "how many {many} ?", "i need the number of {many} ."),
    "all": ("name the {many} .", "which {many} are there ?", "i need the {many} ."),
    "backwards": (
        "name the {many} backwards .",
        "which {many} are there backwards ?",
        "i need the {many} backwards .",
    ),
}
NEW_PHRASING = {
    "first": "please , the first {one} !",
    "last": "please , the last {one} !",
    "count": "please , the number of {many} !",
    "all": "please , the {many} !",
    "backwards": "please , the {many} backwards !",
}
TASKS = [(operation, category) for operation in OPERATIONS for category in CATEGORIES]
# Both words of each of these are still in the instructions of other tasks.
NEW_TASKS = [("first", "fruit"), ("last", "color"), ("count", "animal"), ("all", "tool")]
KNOWN_TASKS = [task for task in TASKS if task not in NEW_TASKS]
SHORTEST, LONGEST = 3, 5  # words of a list
GREETING, OFFER = "sure !", "anything else ?"  # the small talk before and after a sentence
BARE, SENTENCE, CHATTY = STYLES = ("bare", "sentence", "chatty")


@dataclass(frozen=True)
class ListTask:
    """One instruction with its list.

    operation, category  of OPERATIONS and CATEGORIES
    words                tuple of the list's words
    phrasing             0 to 2 of PHRASINGS, 3: NEW_PHRASING
    """

    operation: str
    category: str
    words: tuple
    phrasing: int = 0

    @property
    def prompt(self) -> str:
        """What the user writes."""
        frame = (*PHRASINGS[self.operation], NEW_PHRASING[self.operation])[self.phrasing]
        return f"list : {' '.join(self.words)} . {_filled(frame, self.category)}"

    @property
    def answer(self) -> str:
        """The right answer: str, words with spaces between them."""
        members = CATEGORIES[self.category][1].split()
        found = [word for word in self.words if word in members]
        if self.operation == "count":
            return NUMBERS[len(found)]
        if not found:
            return NONE
        chosen = {
            "first": found[:1],
            "last": found[-1:],
            "all": found,
            "backwards": found[::-1],
        }
        return " ".join(chosen[self.operation])

    def statement(self, answer: str | None = None) -> str:
        """A full sentence with an answer, the right one unless another is given."""
        subject = _filled(SUBJECTS[self.operation], self.category)
        return f"{subject} {answer or self.answer} ."

    def reply(self, style: str = SENTENCE, answer: str | None = None) -> str:
        """A reply in one of STYLES. ConfigError for another style."""
        if style == BARE:
            return f"{answer or self.answer} ."
        if style == SENTENCE:
            return self.statement(answer)
        if style == CHATTY:
            return f"{GREETING} {self.statement(answer)} {OFFER}"
        raise ConfigError(f"ListTask: style {style!r} is not one of {', '.join(STYLES)}")


@dataclass(frozen=True)
class Reply:
    """What was read in a reply.

    answer    str, or None where the reply has no style of STYLES
    sentence  whether it is a full sentence about what was asked
    chatty    whether there is small talk
    """

    answer: str | None
    sentence: bool = False
    chatty: bool = False


def read_reply(text: str, task: ListTask) -> Reply:
    """A reply's answer and style, strictly: Reply.

    task  the ListTask that was asked; a sentence about another one has no answer
    """
    text = " ".join(text.split())
    chatty = text.startswith(f"{GREETING} ") or text.endswith(f" {OFFER}")
    text = text.removeprefix(f"{GREETING} ").removesuffix(f" {OFFER}")
    subject = _filled(SUBJECTS[task.operation], task.category) + " "
    sentence = text.startswith(subject)
    answer = text.removeprefix(subject)
    values = {*NUMBERS, NONE, *(w for _, words in CATEGORIES.values() for w in words.split())}
    words = answer.removesuffix(" .").split()
    if not answer.endswith(" .") or not words or not set(words) <= values:
        return Reply(None, False, chatty)
    return Reply(" ".join(words), sentence, chatty)


def gold_reward(
    text: str, task: ListTask, right: float = 1.0, sentence: float = 0.5, chatty: float = -0.25
) -> float:
    """What people like in a reply, hidden from training: float.

    right     for the right answer
    sentence  for a full sentence that has it; chatty: for small talk, whatever the answer
    """
    read = read_reply(text, task)
    found = chatty * read.chatty
    if read.answer == task.answer:
        found += right + sentence * read.sentence
    return found


def draw_words(rng: np.random.Generator, category: str) -> tuple[str, ...]:
    """The words of a random list: tuple of different words, of a category and one other."""
    other = pick([name for name in CATEGORIES if name != category], rng)
    both = [word for name in (category, other) for word in CATEGORIES[name][1].split()]
    return tuple(distinct(both, int(rng.integers(SHORTEST, LONGEST + 1)), rng))


def draw_tasks(
    tasks: Sequence[tuple[str, str]],
    count: int,
    rng: np.random.Generator,
    phrasings: tuple[int, ...] = (0, 1, 2),
) -> list[ListTask]:
    """`count` instructions, the tasks in turn: list of ListTask.

    tasks      list of (operation, category)
    phrasings  which of the four are used
    """
    turns = (tasks[i % len(tasks)] for i in range(count))
    return [
        ListTask(name, category, draw_words(rng, category), pick(phrasings, rng))
        for name, category in turns
    ]


def demonstrations(
    tasks: Sequence[ListTask], rng: np.random.Generator, styles: tuple[str, ...] = STYLES
) -> list[Instruction]:
    """Right replies in random styles, as people with different habits write them.

    tasks    list of ListTask
    returns  list of Instruction
    """
    samples = []
    for task in tasks:
        name = f"{task.operation} {task.category}"
        samples.append(Instruction(task.prompt, task.reply(pick(styles, rng)), task=name))
    return samples


def article(rng: np.random.Generator, statements: int = 4) -> str:
    """A text of pre-training: a list and what is true of it, without instruction or reply."""
    words = draw_words(rng, pick(list(CATEGORIES), rng))
    there = [name for name in CATEGORIES if set(words) & set(CATEGORIES[name][1].split())]
    told = [
        ListTask(pick(OPERATIONS, rng), pick(there, rng), words).statement()
        for _ in range(statements)
    ]
    return " ".join(["list :", *words, ".", *told])


def vocabulary() -> list[str]:
    """All words that can occur, sorted: for a WordTokenizer."""
    texts = [*CATEGORIES, *NUMBERS, NONE, GREETING, OFFER, "list : . ", *SUBJECTS.values()]
    texts += [part for both in CATEGORIES.values() for part in both]
    texts += [frame for frames in PHRASINGS.values() for frame in frames]
    texts += NEW_PHRASING.values()
    return sorted({word for text in texts for word in text.split() if "{" not in word})


def _filled(frame, category):
    return frame.format(one=category, many=CATEGORIES[category][0])
