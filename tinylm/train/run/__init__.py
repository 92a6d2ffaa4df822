"""The job of `tinylm train`, around training as such.

In order: config.py (every setting), families.py (what model and ids an objective takes), build.py
(the model and the objective made), words.py and rows.py and texts.py (data as the objective reads
it), directory.py (a run directory belongs to one process at a time), run.py (configuration, data
and files), session.py (what the command shows while it runs).
"""
