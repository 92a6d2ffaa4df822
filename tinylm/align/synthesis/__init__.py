"""Data for supervised alignment: converted, collected, generated   (book section 4.2.2).

sample_template.py  a sample with slots, filled from the records of a data set
tasks.py            tasks with several phrasings and one right output
qa_pages.py         questions and answers that stand on pages
corrected.py        queries answered by a model, corrected by an oracle
teacher.py          answers of a model that is tuned already
diversity.py        how different texts are: distinct-n, overlap, dispersion
filters.py          what generated samples must not be
pool.py             tasks by people and by a model, none like another
self_instruct.py    a model writes instructions, inputs and outputs
output_first.py     the label first, by a prior; then an input for it
evolve.py           instructions made harder and more different by a model
steps.py            the same operations on a formal language
self_training.py    labels of one's own, where one is sure

A function that has the name of its file is imported from the file.
"""

from tinylm.align.synthesis.evolve import evolution
from tinylm.align.synthesis.pool import TaskPool
from tinylm.align.synthesis.sample_template import SampleTemplate, from_template
from tinylm.align.synthesis.tasks import TASKS, task_samples
from tinylm.align.synthesis.teacher import generate_responses

__all__ = [
    "TASKS",
    "SampleTemplate",
    "TaskPool",
    "evolution",
    "from_template",
    "generate_responses",
    "task_samples",
]
