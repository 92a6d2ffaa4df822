"""A run as a folder that other libraries open: weights, tokenizer, chat template, settings, card.

run.py      what of a run goes into which file
names.py    the special tokens of a run, by the roles that other libraries know
card.py     README.md: data, sizes, losses, how to load it
folder.py   a folder that appears whole, and replaces nothing but an earlier one of its kind
"""
