"""The tasks of written_tasks.py: documentation to summarize, stories and dialogues that are begun,
functions with their cases. Read next: written_tasks.py.
"""

import importlib
import inspect
from dataclasses import dataclass

from tinylm.backend import Random
from tinylm.data.read.items import Item

# Modules whose documentation has a sentence, and after it paragraphs that say more.
MODULES = """argparse asyncio bisect builtins calendar codecs collections contextlib csv datetime
decimal difflib email.utils fnmatch functools getpass glob gzip heapq html inspect io itertools json
locale logging math os os.path pathlib platform pprint queue random re secrets shutil socket
statistics string struct subprocess tempfile textwrap threading time timeit tokenize traceback
unittest urllib.parse urllib.request warnings zipfile""".split()


def documentation():
    """Texts of 40 to 90 words, and the sentence that their author wrote above them: list of Item.

    They are those of the Python that runs.
    """
    found = {}
    for name in MODULES:
        module = importlib.import_module(name)
        objects = [one for _, one in inspect.getmembers(module, callable)]
        for kind in filter(inspect.isclass, list(objects)):
            objects += [one for _, one in inspect.getmembers(kind, callable)]
        for one in objects:
            text = inspect.getdoc(one) or ""
            head, _, rest = text.partition("\n\n")
            head, body = " ".join(head.split()), " ".join(rest.split())
            # Examples and markup are no prose.
            plain = head.endswith(".") and not any(mark in text for mark in (">>>", "::", "|"))
            if plain and 5 <= len(head.split()) <= 15 and 40 <= len(body.split()) <= 90:
                found[body] = head
    return [Item(body, head, task="documentation") for body, head in sorted(found.items())]


NAMES = ("Ida", "Noor", "Tomas", "Mei", "Anton", "Zola")
THINGS = ("a blue button", "an old map", "a silver whistle", "a locked box", "a torn letter")
PLACES = ("under the stairs", "behind the bakery", "on the beach", "in the attic", "by the well")
_STORY = "One rainy morning, {name} found {thing} {place}. It had not been there the day before."
# Two stories that go on, as examples.
TOLD = (
    Item(
        _STORY.format(name="Lars", thing="a brass key", place="near the bridge"),
        "Lars put the key into his pocket and walked along the river. At the mill there was a door "
        "that nobody had opened for years. The key turned in its lock.",
    ),
    Item(
        _STORY.format(name="Wanda", thing="a paper boat", place="in the garden"),
        "Wanda unfolded the boat and read the words inside. Someone had written her own name. She "
        "ran to the pond to look for the others.",
    ),
)


def stories(count, seed):
    """Beginnings of stories, the name of the hero as the answer: list of Item."""
    rng, found = Random(seed, "stories"), []
    for name in [NAMES[i] for i in rng.permutation(len(NAMES))[:count]]:
        thing, place = (words[rng.integers(0, len(words))] for words in (THINGS, PLACES))
        found.append(Item(_STORY.format(name=name, thing=thing, place=place), name))
    return found


SPEAKERS = ("Guest", "Clerk")
_OPENING = "Guest: Good evening. I have {what}.\nClerk: Of course. {asked}"
WANTS = (
    ("a room for two nights", "May I have your name, please?"),
    ("a question about the museum", "What would you like to know?"),
    ("lost my umbrella", "Where did you see it last?"),
    ("a ticket for the late train", "Where are you going?"),
    ("no idea where the harbour is", "Do you have a map with you?"),
    ("a parcel for the post", "Is there anything fragile in it?"),
)
TALKED = (
    Item(
        _OPENING.format(what="a complaint about the heating", asked="What is wrong with it?"),
        "Guest: It is cold in my room.\nClerk: I am sorry. I will send somebody up.",
    ),
    Item(
        _OPENING.format(what="a bicycle to return", asked="Did you enjoy the ride?"),
        "Guest: Very much, thank you.\nClerk: I am glad. Please leave it by the door.",
    ),
)


def dialogues(count, seed):
    """Dialogues of two turns: list of Item."""
    order = Random(seed, "dialogues").permutation(len(WANTS))[:count]
    return [Item(_OPENING.format(what=WANTS[i][0], asked=WANTS[i][1])) for i in order]


@dataclass(frozen=True)
class Function:
    """A function to write.

    name       of it;  purpose  what it is to do, after "to"
    beginning  its first line;  rest  the lines after it
    cases      [(arguments, result)]
    """

    name: str
    purpose: str
    beginning: str
    rest: str
    cases: tuple

    def described(self):
        """The Item of write_function."""
        return Item(f"{self.purpose}, named {self.name}", f"{self.beginning}\n{self.rest}")

    def begun(self):
        """The Item of complete_function: the purpose as a comment, where one is written."""
        first = f"# Function to {self.purpose}\n{self.beginning}"
        return Item(first, self.rest)


FUNCTIONS = tuple(
    Function(name, purpose, f"def {name}({parameters}):", f"    return {value}", cases)
    for name, purpose, parameters, value, cases in (
        ("add", "add two numbers", "a, b", "a + b", (((2, 3), 5), ((-1, 1), 0))),
        ("is_even", "check whether a number is even", "n", "n % 2 == 0",
         (((4,), True), ((7,), False))),
        ("average", "calculate the average of a list of numbers", "numbers",
         "sum(numbers) / len(numbers)", ((([1, 2, 3],), 2), (([5],), 5))),
        ("largest", "find the largest number of a list", "numbers", "max(numbers)",
         ((([3, 9, 4],), 9), (([-2, -5],), -2))),
        ("reverse", "reverse a string", "text", "text[::-1]", ((("abc",), "cba"), (("",), ""))),
        ("count_words", "count the words of a text", "text", "len(text.split())",
         ((("a bc d",), 3), (("",), 0))),
        ("square", "square a number", "n", "n * n", (((5,), 25), ((-3,), 9))),
        ("total", "add up a list of numbers", "numbers", "sum(numbers)",
         ((([1, 2, 3],), 6), (([],), 0))),
        ("last", "return the last element of a list", "items", "items[-1]",
         ((([1, 2, 3],), 3), ((["x"],), "x"))),
        ("to_fahrenheit", "convert degrees Celsius to Fahrenheit", "celsius",
         "celsius * 9 / 5 + 32", (((0,), 32), ((100,), 212))),
        ("shout", "write a text in capital letters", "text", "text.upper()",
         ((("ab",), "AB"), (("",), ""))),
        ("absolute", "return the absolute value of a number", "n", "abs(n)",
         (((-4,), 4), ((4,), 4))),
        ("is_palindrome", "check whether a text reads the same backwards", "text",
         "text == text[::-1]", ((("abba",), True), (("ab",), False))),
        ("area", "calculate the area of a rectangle", "width, height", "width * height",
         (((2, 3), 6), ((0, 4), 0))),
    )
)  # fmt: skip


def functions(count, seed, shown):
    """(functions to write, others as examples): two lists."""
    order = [FUNCTIONS[i] for i in Random(seed, "functions").permutation(len(FUNCTIONS))]
    return order[:count], order[count : count + shown]
