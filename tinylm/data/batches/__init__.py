"""From text to rows of token ids.

In order: split.py (training and validation), tokenfile.py (ids on disk), prepare.py (text to token
file), windows.py (rows of a fixed length), packing.py (whole documents in rows), serialize.py
(several kinds of data in one sequence).
"""
