"""Methods tried on files of questions: what they answer, whether it is right, and what it costs.

In order: judge.py (is an answer right?), methods.py (all methods by name), runner.py (a method on a
file, which can be resumed), compare.py (methods side by side, and against plain prompting with as
many tokens).
"""
