"""Outline, then write: a long text is written section by section   (book section 3.2.2).

The outline is a list of sub-problems, given or written by the model; each section is one call. In
sequence, a section is written after all those before it; in parallel, all sections know the outline
alone. The text is the sections one after another. Read next: headings.py; map_reduce.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.headings import headings, point
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import render_fields


@dataclass(frozen=True)
class Section:
    """A part of an outline.

    title   str
    points  tuple of str: what it is about
    """

    title: str
    points: tuple = ()


# The outline of the book, in words of our own.
AI_RISKS = (
    Section("Introduction", ("introduce AI", "why it matters to young people")),
    Section("Privacy Concerns", ("how interactions online compromise privacy",)),
    Section(
        "Misinformation",
        ("how AI spreads misinformation", "its influence on decisions of young people"),
    ),
    Section("Cyberbullying", ("AI tools in cyberbullying", "effects on mental health")),
    Section("Tips for Safe AI Use", ("responsible use", "critical thinking")),
    Section("Conclusion", ("summary", "a call to engage with the ethics of AI")),
)
OUTLINE_TASK = (
    "Write the outline of the text that is described: the title of each section on a line that "
    'begins with its number, and its points on lines that begin with "-".'
)


def render_outline(sections: Sequence[Section]) -> str:
    """An outline as text: "1. Introduction" and "- introduce AI" below it."""
    lines = []
    for number, section in enumerate(sections):
        lines.append(f"{number + 1}. {section.title}")
        lines += [f"- {point}" for point in section.points]
    return "\n".join(lines)


def read_outline(text: str) -> list[Section]:
    """The sections of an outline: list of Section. Titles are those of headings(); lines that are
    neither a title nor a point are passed over, and points before the first title too.
    """
    lines = text.strip().splitlines()
    titles, end = headings(lines)
    found = []
    for i, line in enumerate(lines[:end]):
        below = point(line)
        if i in titles:
            found.append((titles[i], []))
        elif found and below:
            found[-1][1].append(below)
    return [Section(title, tuple(points)) for title, points in found]


def outline_prompt(task: str) -> str:
    """The prompt for an outline: it ends where the first section's number stands."""
    return render_fields([("", OUTLINE_TASK), ("Text", task), ("Outline", None)])


def section_prompt(
    task: str, sections: Sequence[Section], number: int, written: Sequence[str] = ()
) -> str:
    """The prompt for section `number`, from 0.

    written  texts of the sections before it, as far as the model is to know them
    """
    title = sections[number].title
    # p_i with its context: the task, the whole plan, and what stands before section i
    parts = [
        f"Task: {task}",
        f"Outline:\n{render_outline(sections)}",
        *(f"Section {i + 1}:\n{text}" for i, text in enumerate(written)),
        f'Write section {number + 1}, "{title}", and nothing else.\nSection {number + 1}:',
    ]
    return "\n\n".join(parts)


def outline_then_write(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    outline: Sequence[Section] | None = None,
    parallel: bool = False,
    seed: int = 0,
    max_tokens: int = 256,
    outline_tokens: int = 256,
) -> Answer:
    """Write a text by its outline.

    item        its question describes the text. Demonstrations are not used
    outline     Sections; None: the model writes the outline first, one call more
    parallel    True: all sections in one batch, none of which knows another
    max_tokens  of each section
    returns     Answer: the value is the text, titles and sections in order, or None if no outline
                could be read; details: "outline", "sections"
    raises      DataError for an outline without sections
    """
    check_counts("outline_then_write", outline_tokens=outline_tokens)
    task = item.question
    if outline is None:
        reply = lm.complete(outline_prompt(task), seed=seed, max_tokens=outline_tokens)
        outline = lm.parsed("outline", read_outline(reply.text))
        if not outline:
            return Answer(None, reply.text, {"outline": [], "sections": []})
    outline = list(outline)
    if not outline:
        raise DataError("outline_then_write: the outline has no section; None lets the model write")
    # A model that goes on with another section is stopped.
    stop = [f"\nSection {i + 1}:" for i in range(len(outline))]
    options: dict[str, Any] = {"seed": seed, "max_tokens": max_tokens, "stop": stop}
    # a_i does not depend on a_<i: one batch and short prompts, but sections may repeat each other.
    if parallel:
        prompts = [section_prompt(task, outline, i) for i in range(len(outline))]
        written = [reply.text.strip() for reply in lm.complete_batch(prompts, **options)]
    else:
        written = []
        for i in range(len(outline)):
            prompt = section_prompt(task, outline, i, written)
            written.append(lm.complete(prompt, **options).text.strip())
    # S_0 is no model: the sections are joined in the order of the outline.
    titled = [f"{section.title}\n\n{text}" for section, text in zip(outline, written)]
    text = "\n\n".join(titled)
    return Answer(text, written[-1], {"outline": outline, "sections": written})
