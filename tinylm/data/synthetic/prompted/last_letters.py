"""Last letter concatenation: the last letters of the words of a name   (book section 3.2.1, fig.
3.1; Wei et al. 2022).

A task of symbols that is easy step by step and hard at once; longer names than those of the
demonstrations test whether the steps were learnt. Read next: dyck.py.
"""

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.templates import needed_slots

NAMES = """
Ada Alan Alba Amir Anna Bela Boris Carla Cleo Dana Diego Elif Emil Erik Fatou Felix Greta Hana
Hugo Ines Ivan Jack Jonas Juan Karim Kim Lara Lev Luis Maja Marit Mika Nils Nora Oleg Olga Omar
Paul Petra Priya Rafiq Rosa Ruth Samir Sven Tariq Theo Uma Vera Viktor Wei Xenia Yusuf Zoe
""".split()
_QUESTION = 'Take the last letters of the words in "{name}" and concatenate them.'


def last_letters_of(name: str) -> str:
    """The last letters of the words of a name, in order: "Elon Musk" -> "nk"."""
    return "".join(word[-1] for word in name.split())


def last_letter_steps(name: str) -> str:
    """The worked solution: one sentence for each word, and one that joins the letters."""
    steps = [f'The last letter of "{word}" is "{word[-1]}".' for word in name.split()]
    steps.append(f'Concatenating them is "{last_letters_of(name)}".')
    return " ".join(steps)


def last_letter_items(count: int, seed: int = 0, words: int = 2) -> list[Item]:
    """Names of `words` words, drawn with repetition: list of Item."""
    at_least("words", words, 1)
    rng, items = generator(seed, "last letters"), []
    for _ in range(count):
        name = " ".join(pick(NAMES, rng) for _ in range(words))
        items.append(
            Item(
                _QUESTION.format(name=name),
                last_letters_of(name),
                rationale=last_letter_steps(name),
                task="last_letters",
            )
        )
    return items


def solve_last_letters(item: Item) -> str:
    """The answer, from the question alone. DataError for another question."""
    return last_letters_of(needed_slots(_QUESTION, item.question)["name"])
