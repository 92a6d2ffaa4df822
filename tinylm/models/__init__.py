"""Model families, one file each; decoders are one file and many configurations (presets.py)."""
from tinylm.models.gpt import GPT, GPTConfig
