"""Figures of what goes into a model: where a token stands, what an objective
makes of a text, how a word becomes tokens.

In reading order: positions.py, corruptions.py, merges.py.
"""
