"""Questions and answers that stand on pages already   (book section 4.2.2.1; Joshi et al. 2017).

Pages of frequent questions, quizzes and forums hold pairs that nobody wrote for fine-tuning. The
usual forms of a page as text are read:

    Q: Is it open on Sunday?           ## Is it open on Sunday?         1. Is it open on Sunday?
    A: Yes, from ten to four.          Yes, from ten to four.           Yes, from ten to four.

A question that is marked may go on over several lines, up to its question mark or to the answer's
mark; an answer goes on to the next question. What has no answer is reported, with its line. Read
next: corrected.py.
"""

import re
from dataclasses import dataclass

from tinylm.data.read.instructions import Instruction

# "Q:", "Q2.", "Question 3)"; and headings or numbered lines that end in a question mark.
_MARKED = re.compile(r"\s*(?:\*\*)?q(?:uestion)?\s*\d*\s*[:.)](?:\*\*)?\s*(.*)", re.IGNORECASE)
_HEADING = re.compile(r"\s*(?:#+|\d+[.)])\s*(.*\?)\s*")
_ANSWER = re.compile(r"\s*(?:\*\*)?a(?:nswer)?\s*\d*\s*[:.)](?:\*\*)?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """What was read from a page.

    samples     list of Instruction: question and answer, in the order of the page
    unanswered  list of (number of the line from 1, question) without an answer
    """

    samples: list
    unanswered: list


def qa_pairs(text: str, task: str = "questions") -> Page:
    """The questions and answers of a page.

    text     str; lines before the first question are left out
    task     name of the task that the samples get
    returns  Page
    """
    found = []  # [line, question, lines of the answer, whether the question was marked]
    for number, line in enumerate(text.splitlines(), 1):
        marked, heading = _MARKED.fullmatch(line), _HEADING.fullmatch(line)
        if marked or heading:
            question = (marked or heading)[1].strip()
            found.append([number, question, [], marked is not None])
        elif found:
            _read(found[-1], line)
    samples, unanswered = [], []
    for number, question, lines, _ in found:
        answer = "\n".join(lines).strip()
        if answer and question:
            samples.append(Instruction(question, answer, task=task))
        else:
            unanswered.append((number, question))
    return Page(samples, unanswered)


def _read(entry, line):
    """Add a line to a question without an answer yet, or to its answer."""
    _, question, lines, marked = entry
    answer = _ANSWER.fullmatch(line)
    if any(lines) or not marked:
        lines.append(line.rstrip())
    elif answer:
        lines.append(answer[1])
    elif question.endswith("?"):  # the answer has no mark
        lines.append(line.rstrip())
    else:
        entry[1] = f"{question} {line.strip()}".strip()


# A page in the three forms, with a question that has no answer.
SMALL_PAGE = """\
Visiting the library

Q: When is the library open?
A: From nine to six, Monday to Friday.
On Saturday from ten to four.

Q: May I bring a dog?

## How many books may I borrow?
Ten books at a time, for four weeks.

1. Is there a fee?
No. Only late books cost 20 cents a day.
"""
