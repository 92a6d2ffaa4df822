"""The prompt of retrieval-augmented generation: question and numbered texts   (book section 3.2.5).

    Your task is to answer the following question. To help you, relevant texts are provided. ...
    Question: Where will the 2028 Olympics be held?
    Relevant Text 1: ...
    Relevant Text 2: ...
    Answer:

A second instruction allows the model to refuse: retrieval often finds nothing that helps, and an
answer from memory would then look as if the texts supported it. The texts are cut to the room that
there is, never the instruction or the question. Read next: citations.py, answer.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.retrieval_qa import NO_ANSWER
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.rag.chunks import LONG_WORD
from tinylm.prompt.template.fields import render_fields, stop_strings

INSTRUCTION = (
    "Your task is to answer the following question. To help you, relevant texts are provided. "
    "Please base your answer on these texts."
)
REFUSAL = (
    "Please note that your answers need to be as accurate as possible and faithful to the facts. "
    "If the information provided is insufficient for an accurate response, you may simply output "
    f'"{NO_ANSWER}".'
)
CITE = "After each statement, give the number of the text that supports it in brackets, as in [1]."
LEAST_WORDS = 8  # a text is cut to no fewer words; with less room it is left out
_WORD = regex.compile(rf"(?:(?!\s)\X){{1,{LONG_WORD}}}")  # or a part of a long one
# "No answer." and "No answer is given", but not "No answer key was found, the price is 5."
_REFUSED = regex.compile(
    r"[\s\"'“‘*]*no answer(?:\s*(?:[^\w\s]|$)|\s+(?:is|was|can|could)\b)", regex.IGNORECASE
)


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits, and what it lacks.

    prompt   str
    texts    list of the texts that are in it, the last one perhaps cut
    kept     their indices among the texts that were given
    cut      the number of characters taken off the last of them; 0: none
    dropped  the texts, by index, that are not in it
    left_out the demonstrations that are not in it
    """

    prompt: str
    texts: list
    kept: tuple = ()
    cut: int = 0
    dropped: tuple = ()
    left_out: tuple = ()


@dataclass(frozen=True)
class RagPrompt:
    """How a question and its texts are written.

    instruction    the task
    refuse         allow the model to refuse, with the book's words (REFUSAL)
    cite           ask for the numbers of the texts (CITE)
    question_name, text_name, answer_name
                   of the fields; answer_name None: the prompt ends with the texts, for a chat model
    """

    instruction: str = INSTRUCTION
    refuse: bool = True
    cite: bool = False
    question_name: str = "Question"
    text_name: str = "Relevant Text"
    answer_name: str | None = "Answer"

    def prompt(
        self, question: str, texts: Sequence[str] = (), demonstrations: Sequence[Item] = ()
    ) -> str:
        """The prompt for a question.

        question        str
        texts           list of str, the most relevant first; they are numbered from 1
        demonstrations  Items with answers; their contexts are their texts (texts_of)
        returns         str
        raises          DataError for a demonstration without an answer
        """
        notes = [self.instruction]
        if self.refuse:
            notes.append(REFUSAL)
        if self.cite:
            notes.append(CITE)
        blocks = []
        for item in demonstrations:
            if item.answer is None:
                raise DataError(f"RagPrompt: the demonstration {item.question!r:.60} has no answer")
            blocks.append(self._fields(item.question, texts_of(item), item.answer))
        blocks.append(self._fields(question, texts, None))
        # The instruction is the beginning of the first block; blank lines separate blocks.
        blocks[0] = [("", "\n".join(notes)), *blocks[0]]
        return "\n\n".join(render_fields(block) for block in blocks)

    def _fields(self, question, texts, answer):
        fields = [(self.question_name, question.strip())]
        for number, text in enumerate(texts, 1):
            fields.append((f"{self.text_name} {number}", text.strip()))
        if self.answer_name is not None:
            fields.append((self.answer_name, answer))
        elif answer is not None:
            raise ConfigError("RagPrompt: demonstrations need a name for their answers")
        return fields

    def names(self, texts: int) -> tuple[str, ...]:
        """The names of the fields of a prompt with so many texts: tuple of str."""
        names = [self.question_name, *(f"{self.text_name} {i + 1}" for i in range(texts))]
        if self.answer_name is not None:
            names.append(self.answer_name)
        return tuple(names)

    def stop(self) -> tuple[str, ...]:
        """Strings with which a reply has gone on to another question."""
        return stop_strings([self.question_name])

    def fit(
        self,
        question: str,
        texts: Sequence[str],
        count: Callable,
        budget: int | None,
        demonstrations: Sequence[Item] = (),
        window: str = "",
    ) -> Fitted:
        """The prompt with as much of the texts as fits.

        Texts are kept whole as long as they fit. One that does not fit is cut after a word, and is
        the last one then; without room for LEAST_WORDS of it, it is left out, and a later, shorter
        one may take its place. Demonstrations make room for the most relevant text, the first of
        them first; if it does not even fit alone, for LEAST_WORDS of it. Instruction and question
        are always whole.

        count    function from a prompt to its number of tokens: TextLM.length
        budget   most tokens of the prompt; None: no limit
        window   where the budget comes from, for the error
        returns  Fitted
        raises   DataError if there is no room even without texts
        """
        texts, shown = list(texts), tuple(demonstrations)

        def fits(kept, shown=()):
            return budget is None or count(self.prompt(question, kept, shown)) <= budget

        if not fits([]):
            whole, around = count(self.prompt(question)), count(self.prompt(""))
            if window:
                window = f" ({window})"
            raise DataError(
                f"RagPrompt: without any text the prompt has {whole} tokens, {whole - around} of "
                f"them of the question, and there is room for {budget}{window}: shorten the "
                "question, or give a model with a longer context"
            )
        needed = texts[:1]
        if not fits(needed):
            needed = [" ".join(texts[0].split()[:LEAST_WORDS])]
        while shown and not fits(needed, shown):
            shown = shown[1:]
        # Texts come by relevance, so the first ones get the room.
        inside, kept, cut = [], [], 0
        for i, text in enumerate(texts):
            if fits([*inside, text], shown):
                inside.append(text)
                kept.append(i)
                continue
            part = longest_beginning(text, lambda part: fits([*inside, part], shown))
            if part:
                inside.append(part)
                kept.append(i)
                cut = len(text.rstrip()) - len(part)
                break
        dropped = tuple(i for i in range(len(texts)) if i not in kept)
        left_out = tuple(demonstrations)[: len(demonstrations) - len(shown)]
        prompt = self.prompt(question, inside, shown)
        return Fitted(prompt, inside, tuple(kept), cut, dropped, left_out)


def texts_of(item: Item) -> list[str]:
    """The texts in the context of an item, which blank lines separate: list of str."""
    return [text for text in regex.split(r"\n\s*\n", item.context) if text.strip()]


def is_refusal(reply: str) -> bool:
    """True if a reply refuses in the words of the prompt: it begins with "No answer", before a mark
    or a verb, or has "No answer!" in it.
    """
    return NO_ANSWER.casefold() in reply.casefold() or _REFUSED.match(reply) is not None


def longest_beginning(text: str, fits: Callable) -> str:
    """The longest beginning of a text that fits and ends with a word; "" below LEAST_WORDS."""
    ends = [match.end() for match in _WORD.finditer(text)]
    low, high = 0, len(ends) - 1  # the whole text does not fit
    # A longer beginning has more tokens, so the longest that fits is found by halving.
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[: ends[middle - 1]]):
            low = middle
        else:
            high = middle - 1
    if low < LEAST_WORDS:
        return ""
    return text[: ends[low - 1]]
