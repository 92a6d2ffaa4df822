"""Prompting: a model is given a text, and what it writes next is the answer   (book chapter 3).

No weight changes in this floor; what changes is the text. The rooms, in the order of the book:

protocol    prompts and replies as text: completing, scoring, what it cost, what was sent
template    prompts as text: fields, slots, roles, formats, the prompts of the book
in_context  demonstrations in a prompt: which, in which order, and why they work
tasks       the tasks of language processing: classification, extraction, generation, questions
reasoning   steps in words before the answer, a calculator, search over steps
decompose   sub-problems: listed at first, generated one by one, solved by models and tools
refine      drafts made better: by feedback, by instructions, after naming the error
ensemble    several answers and one decision: models, prompts, outputs; votes and risks
rag         texts are found for a question, and the answer is given from them
tools       calls inside a reply are run, and replaced by their results
optimize    prompts are found: spaces, estimates, strategies; prompts that a model writes
compress    shorter prompts that can still be read
evaluation  methods by name on files of questions: answers, their share that is right, and costs

All methods return an Answer (answer.py): what was read from a reply, and the reply.
"""

from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol import Account, Completion, Scores, ScriptedLM, TextLM, TextModel

__all__ = ["Account", "Answer", "Completion", "Scores", "ScriptedLM", "TextLM", "TextModel"]
