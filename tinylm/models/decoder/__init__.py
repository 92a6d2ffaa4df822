"""Decoder-only transformers: one file of code and many configurations   (book section 2.1.1).

In order: config.py, gpt.py, presets.py (published families), sizes.py (parameters counted),
prefixes.py (rows that begin alike are read once where they do).
cases.py has the gradient checks.
"""
