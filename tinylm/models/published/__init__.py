"""Weights that others trained, read and written   (Hugging Face's folders and GGUF files).

formats/ (files to arrays by name), layouts/ (what the names mean to a model here), load.py and load_encoders.py (from a
path to a model), chat_template.py (messages to text), sentence_encoder.py (vectors of sentences).
"""
