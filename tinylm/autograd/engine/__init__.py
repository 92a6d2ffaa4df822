"""The engine: a Tensor, the tape that operations leave behind, and the walk back along it.

Everybody reads this room. In order: tensor.py, operation.py (how an operation and its derivative
are defined), backward.py, recompute.py (trade time for memory), profile.py (count operations, find
nan).
"""
