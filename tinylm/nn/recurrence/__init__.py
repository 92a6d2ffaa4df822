"""Recurrent layers: a state of fixed size, updated token by token (book sections 2.3.2 and 2.3.3).

In order: recurrent.py (RNN, GRU, LSTM), state_space.py (S4-like and selective state spaces).
cases.py holds the gradient checks.
"""
