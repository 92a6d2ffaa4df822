"""Methods tried on files of questions: what they answer, whether it is right, and what it costs.

In order: judge.py (is an answer right?), methods.py (all methods by name), task_methods.py (tasks
whose settings are words), model_methods.py (several models as one method), search_methods.py (a
prompt is searched first), compressed_methods.py (shorter prompts), chosen_methods.py (which
demonstrations are shown), needs.py (what they cannot do without), answer_file.py (answers that are
kept), runner.py (a method on a file, which can be resumed), together.py (many questions at a time,
in batches), compare.py (methods side by side, and against plain prompting with as many tokens),
choice.py (options that are scored, as the benchmarks of multiple choice report them),
choice_scores.py (these scores as lines of a file).
"""
