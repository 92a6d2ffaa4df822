"""Figures of decoding: what a search threw away, what a draft was worth, what a cache holds.

In reading order: beams.py, cache.py.
"""
