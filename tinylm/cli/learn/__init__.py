"""Verbs that train and evaluate: train.py, finetune.py, eval.py; showcase.py is how `tinylm train`
ends.
"""
