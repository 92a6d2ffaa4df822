"""What can be measured of a model that generates   (book section 2.3.6).

long_context.py (does it use what it read long ago), foresight.py (does it plan ahead),
compression.py (arithmetic coding with its probabilities).
"""
