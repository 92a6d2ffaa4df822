"""In-context learning: a model is shown how a task is done, in its prompt   (book section 3.1.2).

In order: fitted.py (as many as there is room for), few_shot.py (a task, demonstrations and a
question as one text), styles.py (the same in tags, JSON, code), selection.py, learned_retriever.py
and clusters.py (which demonstrations), shots.py (how many), sensitivity.py (what their order does),
calibration.py (what their labels do), structured.py (one field of a prompt at a time). Why it
works: implicit_bayes.py (as inference), gradient_descent.py (as an optimizer in the forward pass),
function_classes.py, regression.py and real_decoder.py (as regression), induction.py and
induction_circuit.py (as copying).
"""

from tinylm.prompt.in_context.few_shot import FewShotPrompt

__all__ = ["FewShotPrompt"]
