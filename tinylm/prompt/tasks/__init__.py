"""Tasks of language processing by prompting   (book section 3.1.4).

In order: labels.py (from a reply to a label), classification.py (three ways to classify, eq. 3.1),
verbalizer.py and masked_cloze.py (words that stand for labels, with a causal and a masked model),
demonstrated.py (a prompt after demonstrations), extraction.py (names, entities, relations),
generation.py (stories, dialogues, requirements),
code_completion.py, code_runner.py and code_sandbox.py (code, and running it under limits),
transformation.py (translation, summaries, style), questions.py and multiple_choice.py.
"""

from tinylm.prompt.tasks.classification import (
    ClassificationPrompt,
    classify_by_cloze,
    classify_by_scores,
    classify_generated,
)
from tinylm.prompt.tasks.code_completion import complete_function, write_function
from tinylm.prompt.tasks.code_runner import Limits, Ran, run_function
from tinylm.prompt.tasks.extraction import (
    extract,
    extract_entities,
    extract_names,
    extract_relations,
)
from tinylm.prompt.tasks.generation import (
    continue_dialogue,
    continue_story,
    generate_until,
    write,
)
from tinylm.prompt.tasks.labels import LabelMapper, Mapped, compliance_rate
from tinylm.prompt.tasks.masked_cloze import MaskedCloze, classify_by_mask
from tinylm.prompt.tasks.multiple_choice import (
    choice_prompt,
    choose_by_cloze,
    choose_by_letter,
    choose_by_option,
    choose_generated,
    read_choice,
)
from tinylm.prompt.tasks.questions import answer_question, answer_word_problem
from tinylm.prompt.tasks.transformation import rewrite, summarize, translate
from tinylm.prompt.tasks.verbalizer import classify_by_verbalizer

__all__ = [
    "ClassificationPrompt",
    "LabelMapper",
    "Limits",
    "Mapped",
    "MaskedCloze",
    "Ran",
    "answer_question",
    "answer_word_problem",
    "choice_prompt",
    "choose_by_cloze",
    "choose_by_letter",
    "choose_by_option",
    "choose_generated",
    "classify_by_cloze",
    "classify_by_mask",
    "classify_by_scores",
    "classify_by_verbalizer",
    "classify_generated",
    "complete_function",
    "compliance_rate",
    "continue_dialogue",
    "continue_story",
    "extract",
    "extract_entities",
    "extract_names",
    "extract_relations",
    "generate_until",
    "read_choice",
    "rewrite",
    "run_function",
    "summarize",
    "translate",
    "write",
    "write_function",
]
