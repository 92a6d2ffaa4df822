"""In-context learning: a model is shown how a task is done, in its prompt   (book section 3.1.2).

In order: few_shot.py (a task, demonstrations and a question as one text), selection.py (which
demonstrations).
"""

from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot, zero_shot

__all__ = ["FewShotPrompt", "few_shot", "zero_shot"]
