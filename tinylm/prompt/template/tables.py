"""Reference information in the prompt: a text, or a table of records   (book section 3.1.3).

    | city | river |
    | --- | --- |
    | Cologne | Rhine |

The model answers from what it is given: "based on this context information", or, for a table,
"using only this context information", in its own words. How much of an answer is copied can be
measured. ../rag/ finds the texts for a question. Read next: constraints.py.
"""

import re
from collections.abc import Sequence

from tinylm.data.measure.answers import answer_words
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.library import LIBRARY

# What a cell must not hold as it is, and how it is written.
_ESCAPES = {"\\": "\\\\", "|": "\\|", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {written: mark for mark, written in _ESCAPES.items()}


def render_table(columns: Sequence[str], rows: Sequence[list[str]]) -> str:
    """A table in Markdown, whose rows are records.

    columns  list of str, the names of the fields
    rows     list of lists of str, one for each record
    returns  str; |, backslashes and line breaks in a cell are escaped
    raises   DataError for a row of another length, or no columns
    """
    # A head, a line of dashes, and one line a record.
    columns, rows = list(columns), [list(row) for row in rows]
    if not columns:
        raise DataError("render_table: a table needs at least one column")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise DataError(
                f"render_table: row {number} has {len(row)} cells, and there are {len(columns)} "
                "columns"
            )
    return "\n".join(map(_line, [columns, ["---"] * len(columns), *rows]))


def parse_table(text: str) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a table as render_table writes it. DataError if it is none."""
    lines = [_cells(line) for line in text.split("\n")]
    if len(lines) < 2 or lines[1] != ["---"] * len(lines[0]):
        raise DataError(f"parse_table: {text!r:.60} is no table with a line | --- | below its head")
    columns, _, *rows = lines
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise DataError(
                f"parse_table: row {number} has {len(row)} cells, and there are {len(columns)} "
                "columns"
            )
    return columns, rows


def _line(cells):
    written = [re.sub(r"[\\|\n\r]", lambda mark: _ESCAPES[mark[0]], cell) for cell in cells]
    return f"| {' | '.join(written)} |"


def _cells(line):
    """The cells of one line, without the escapes."""
    found = re.findall(r" ((?:[^\\|]|\\.)*) (?:\||\Z)", line.removeprefix("|"))
    # \| is |, \n a line break, \\ a backslash
    cells = [re.sub(r"\\.", lambda mark: _UNESCAPES.get(mark[0], mark[0]), cell) for cell in found]
    if not cells or _line(cells) != line:
        raise DataError(f"parse_table: {line!r:.60} is no line of cells | .. | .. |")
    return cells


def context_prompt(query: str, context: str) -> str:
    """A prompt for an answer based on a text."""
    return LIBRARY["context"].format(IR_result=context, query=query)


def table_prompt(query: str, columns: Sequence[str], rows: Sequence[list[str]]) -> str:
    """A prompt for an answer from nothing but the records of a table."""
    return LIBRARY["context.table"].format(table=render_table(columns, rows), query=query)


def longest_copy(answer: str, context: str) -> list[str]:
    """The longest run of words of an answer that stands in the context, as a list of words.

    Words are compared without case, punctuation and articles (data/measure/answers.py).
    """
    answer, context = answer_words(answer), answer_words(context)
    # row[j] = length of the longest common run that ends at answer[i - 1] and context[j - 1]
    best, end, row = 0, 0, [0 for _ in context]
    for i, word in enumerate(answer, 1):
        row = [0] + [row[j] + 1 if word == other else 0 for j, other in enumerate(context)]
        if max(row) > best:
            best, end = max(row), i
    return answer[end - best : end]


def copied_share(answer: str, context: str, run: int = 4) -> float:
    """The share of the answer's words inside runs of at least `run` words from the context.

    0.0 for an answer in its own words, 1.0 for one that is put together from the context
    """
    answer, context = answer_words(answer), answer_words(context)
    # A word is copied if it is in a run that the context has, too.
    known = set(_runs(context, run))
    copied = set()
    for i, words in enumerate(_runs(answer, run)):
        if words in known:
            copied.update(range(i, i + run))
    if not answer:
        return 0.0
    return len(copied) / len(answer)


def _runs(words, length):
    """All runs of `length` words, in order: list of tuples."""
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


def answer_from_context(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Answer a question from the passage or table of its item   (book section 3.1.3)

    lm       TextLM
    item     Item with a context. A table as render_table writes it is given as one
    demonstrations  are not used: the prompt of the book has none
    returns  Answer; details: "copied", the share of its words that are copied
    raises   DataError for an item without a context
    """
    if not item.context:
        raise DataError(f"answer_from_context: {item.question!r:.60} has no context")
    try:
        prompt = table_prompt(item.question, *parse_table(item.context))
    except DataError:
        prompt = context_prompt(item.question, item.context)
    reply = lm.complete(prompt, max_tokens=max_tokens, seed=seed)
    value = lm.parsed("answer", reply.text.strip() or None)
    return Answer(value, reply.text, {"copied": copied_share(reply.text, item.context)})
