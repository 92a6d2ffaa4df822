"""A small world in statements, and questions about it: the knowledge of pre-training against the
behavior of instruction tuning.

Every animal, bird, fish and tree has a color, a home, a friend, ... drawn at random, so nothing can
be guessed. Stories state these facts and have no questions; instructions are questions in other
words. Half of the names are held out for tests: a correct answer about them was learnt from
stories. A task is an aspect of a kind of things, so there are 28 tasks, some of which are never
used in tuning. Book section 2.1.3; see scripts/2_1_language_models/instruction_tuning.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.instructions import Instruction
from tinylm.data.synthetic.draws import pick

KINDS = {
    "animal": "cat dog fox cow pig goat deer wolf bear lion hare mole",
    "bird": "owl crow hawk swan duck dove wren lark gull rook kite tern",
    "fish": "eel cod carp pike tuna bass sole hake ling dace roach perch",
    "tree": "oak elm ash fir pine yew palm birch beech alder maple cedar",
}
# {aspect: (its eight possible values, three words that name it)}
ASPECTS = {
    "color": ("red blue green pink gray black white brown", "color hue shade"),
    "food": ("rice corn soup cake milk salt jam tea", "food meal diet"),
    "home": ("rome oslo lima kiev bonn cairo delhi paris", "home town place"),
    "friend": ("anna bob carl dora emil fred gina hugo", "friend mate pal"),
    "number": ("one two three four five six seven eight", "number figure count"),
    "tool": ("saw axe pen rope nail fork spade brush", "tool gadget device"),
    "day": ("monday tuesday wednesday thursday friday saturday sunday birthday", "day date time"),
}
STATEMENTS = ("the {a} of the {e} is {v} .", "a {e} has as its {a} {v} .", "{e} , {a} {v} .")
FRAMES = (
    "tell me the {a} of the {e}",
    "{e} : {a} ?",
    "what {a} has this {k} , the {e} ?",
    "i want to know which {a} a {e} may have !",
)  # the last for tests
FORMS = {
    "long": "please read the following name of a {k} and then tell me what {a} it has : {e}",
    "short": "tell the {a} : {e}",
    "word": "{a} ! {e}",
}
ALL = [(aspect, kind) for aspect in ASPECTS for kind in KINDS]
NEW_ASPECT = [task for task in ALL if task[0] == "day"]  # never used in tuning, as the next
NEW_PAIR = [
    ("color", "bird"),
    ("food", "tree"),
    ("home", "animal"),
    ("friend", "fish"),
    ("number", "bird"),
    ("tool", "animal"),
]
KNOWN = [task for task in ALL if task not in NEW_ASPECT + NEW_PAIR]
TUNE, TEST = slice(0, 6), slice(6, 12)  # of the names of a kind


class World:
    """The facts: a value of every aspect for every name.

    facts    {(aspect, name): value}, drawn from the seed
    """

    def __init__(self, seed: int) -> None:
        rng = Random(seed, "facts")
        self.facts = {}
        for aspect, (values, _) in ASPECTS.items():
            for names in KINDS.values():
                for name in names.split():
                    self.facts[aspect, name] = pick(values.split(), rng)

    def text(
        self,
        frame: str,
        task: tuple[str, ...],
        rng: Random,
        words: tuple[int, ...] = (0, 1, 2),
        names: slice = slice(0, 12),
    ) -> tuple[str, str]:
        """(frame with its slots filled, the value) for a random name of the task's kind."""
        aspect, kind = task
        name = pick(KINDS[kind].split()[names], rng)
        value = self.facts[aspect, name]
        # str.format ignores slots that a frame does not have, such as the value in a question.
        word = ASPECTS[aspect][1].split()[pick(words, rng)]
        return frame.format(a=word, e=name, k=kind, v=value), value

    def story(self, rng: Random) -> str:
        """Seven statements as one text."""
        kind = pick(list(KINDS), rng)
        statements = [f"the {pick(KINDS[kind].split(), rng)} is a {kind} ."]
        for _ in range(6):
            statement, _ = self.text(pick(STATEMENTS, rng), pick(ALL, rng), rng)
            statements.append(statement)
        return " ".join(statements)

    def instructions(
        self,
        tasks: Sequence[tuple[str, str]],
        count: int,
        rng: Random,
        frames: tuple[str, ...] = FRAMES[:3],
        words: tuple[int, ...] = (0, 1),
        noise: float = 0.0,
        names: slice = TUNE,
    ) -> list[Instruction]:
        """`count` questions with their answers, the tasks in turn.

        tasks    list of (aspect, kind)
        frames   forms of the question;  words  which of the three words for an aspect
        noise    share of the answers that are drawn at random, of any aspect
        names    TUNE or TEST
        returns  list of Instruction
        """
        samples = []
        for i in range(count):
            task = tasks[i % len(tasks)]  # in turn, so that tasks are equally frequent
            text, answer = self.text(pick(frames, rng), task, rng, words, names)
            if float(rng.uniform((), np.float64)) < noise:
                answer = pick(ASPECTS[pick(list(ASPECTS), rng)][0].split(), rng)
            samples.append(Instruction(text, answer, task=" ".join(task)))
        return samples


def vocabulary() -> list[str]:
    """All words that can occur, sorted: for a WordTokenizer."""
    texts = [*STATEMENTS, *FRAMES, *FORMS.values(), *KINDS, *KINDS.values()]
    texts += [" ".join(values_and_words) for values_and_words in ASPECTS.values()]
    return sorted({word for text in texts for word in text.split() if "{" not in word})
