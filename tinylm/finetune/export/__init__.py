"""A run as a folder that other libraries open: weights, tokenizer, chat template, settings, card.

run.py      the files of the folder, and what each holds
names.py    the special tokens of a run by role: bos, eos, pad, ...
card.py     README.md: data, sizes, losses, how to load it
folder.py   a folder that appears complete, and replaces nothing but an earlier export
"""
