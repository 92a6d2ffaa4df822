"""How much of each source a model reads   (book section 2.2.1): mixture.py, then
instruction_mixture.py.
"""
