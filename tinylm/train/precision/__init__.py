"""Mixed precision: passes in 16 bits, updates in 32   (book section 2.2.3; Micikevicius et al.
2018).

In order: formats.py (what numbers of few bits can be), mixed.py (training with them), sums.py (what
the order of additions does, in any format).
"""
