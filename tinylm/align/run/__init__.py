"""Runs of `tinylm align`: from a model and a file to a tuned model.

tunable.py   a model ready to be tuned: marks of the template, LoRA
examples.py  files read, checked and encoded; what was left out, with its lines
settings.py  what can be set
methods.py   the methods: what each learns from, its task, its model
saved.py     the files of a run, and a reward model opened again
training.py  one run from start to end, and an interrupted one continued
scorer.py    what scores answers: a reward model, or a function of one's own
policy.py    a run that learns from a reward
kinds.py     all methods by name
"""
