"""Chat templates: how a conversation is written for a model that was tuned on conversations.

Read in this order: pieces.py (marks and text kept apart), builtin.py (the families that are
functions here), written.py (these as programs), normal.py (when two programs are the same),
limits.py, functions.py, grammar.py and sandbox.py (where an untrusted program runs), program.py
(a template that is a program), found.py (where the files beside weights keep theirs). Other rooms
import from `published/chat_template.py`.
"""
