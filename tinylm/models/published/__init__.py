"""Weights that others trained, read and written   (Hugging Face's folders and GGUF files).

formats/ (files to arrays by name), layouts/ (what fields and names mean to a model here), build.py
(a description and tensors to a model), load.py (a path to a model), save.py (and back),
published_form.py (a model here in the parts of a published family), chat_template.py (messages to
text), sentence_encoder.py (vectors of sentences).
"""
