"""Weights that others trained, read and written   (Hugging Face's folders and GGUF files).

In reading order: formats/ (a file to arrays by name), layouts/ (fields and names of a family to a
model here), build.py (a description and tensors to a model), load.py (a path to a model), save.py
(a model to a folder), published_form.py (a model here in the parts of a published family),
chat_template.py (messages to text), sentence_encoder.py (vectors of sentences).
"""
