"""Language modeling: predict the next token   (book sections 1.2.1 and 2.1.2; Table 1.1).

In order: causal.py, prefix.py, fim.py (fill in the middle), multi_token.py.
"""
