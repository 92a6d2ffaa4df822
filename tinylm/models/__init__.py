"""Model families, one file each."""
from tinylm.models.gpt import GPT, GPTConfig
