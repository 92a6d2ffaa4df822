"""The job of `tinylm train`, around training as such.

In order: run.py (prepare and train; the path from the command to the loss), config.py and checks.py
(every setting, and which exclude one another), texts.py, words.py, context.py and rows.py (data
as the objective reads it), build.py (the model), session.py (the log, validations and checkpoints),
directory.py (a run directory belongs to one process at a time), saved.py and resume.py (from a
checkpoint back to a model, or to a run).
"""
