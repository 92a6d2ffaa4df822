"""The part of instruction_tuning.py about forms: can "Translate!" stand for a long instruction?

Models are tuned on long, short or one-word instructions, and asked in all three. Section 3.3. Read
first: tinylm/finetune/instruct/templates.py, the tokens that are saved.

Measured output (a part of that of instruction_tuning.py): Not measured yet with this design.
"""

from functools import partial

import numpy as np

from tinylm.data.synthetic.told_facts import FORMS, KNOWN
from tinylm.finetune.instruct.templates import tokens_saved
from tinylm.train.experiments.compare import Claim

# Written before the run. Accuracies, paired; a gain of less than 0.03 is a few questions of 120.
WORD = Claim("a word does as well as a long instruction", "3.3", least=-0.03, floor=0.0)
OWN_FORM = Claim("other forms are understood less than that of the tuning", "3.3", least=0.03)


def in_form(lab, count, form):
    """How a model understands each form after tuning on samples in one of them."""
    return lab.understands(lab.tuned(lab.samples(KNOWN, count, frames=(FORMS[form],))))


def instruction_forms(labs, table):
    """Claim 4: tuned on long, short or one-word instructions, tested on all three."""
    forms = list(FORMS)
    for count in (60, 720):
        rows = {
            form: [lab.row(f"{count} {form}", partial(in_form, lab, count, form)) for lab in labs]
            for form in forms
        }
        title = f"tuned with {count} samples in the form"
        heads = [f"asked {f}" for f in forms]
        scores = table(title, rows, heads)
        # (forms, seeds): each form tested with itself, and with the mean of the two others
        own = np.array([scores[form][i] for i, form in enumerate(forms)])
        others = np.array([np.delete(scores[form], i, 0).mean(0) for i, form in enumerate(forms)])
        verdict = WORD.judge(own[forms.index("word")], own[forms.index("long")])
        print(f"  {count} samples: {WORD.text}, once tuned: {verdict}")
        print(f"  {count} samples: {OWN_FORM.text}: {OWN_FORM.judge(own.mean(0), others.mean(0))}")
    # an instruction with its slots filled, as the model reads it
    words = labs[0].words
    slots = {"k": "animal", "a": "color", "e": ""}
    for form in ("short", "word"):
        # the same question in both forms
        saved, share = tokens_saved(
            words, FORMS["long"].format(**slots), FORMS[form].format(**slots), 1000
        )
        print(f"  {form}: {saved} tokens less for 1000 questions, {share:.0%} of the instruction")
