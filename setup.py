import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
readme = here / "README.md"
version = re.search(
    r'__version__ = "(.+?)"', (here / "tinylm" / "__init__.py").read_text(encoding="utf-8")
)[1]

setup(
    name="tinylm",
    version=version,
    description="Foundations of Large Language Models as running code, on one small autograd engine in NumPy",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["tinylm", "tinylm.*"]),
    package_data={
        "tinylm": ["py.typed"],
        "tinylm.book": ["*.tsv", "tables/*.tsv", "formulas/*.tsv"],
        "tinylm.book.site": ["book.css", "book.js"],
        "tinylm.explore": ["web/*"],
    },
    python_requires=">=3.10",
    install_requires=["numpy>=2.0", "regex"],
    extras_require={
        "gpu": ["cupy-cuda12x"],
        "test": ["pytest", "hypothesis", "pytest-xdist"],
        "progress": ["tqdm"],
        "plot": ["matplotlib"],
        "chat": ["jinja2>=3.1.6"],
        "mpi": ["mpi4py", "mpich"],
        "site": ["latex2mathml"],
        "browser": ["playwright", "axe-playwright-python"],
        "oracle": ["torch", "transformers", "tokenizers", "sentencepiece", "safetensors", "gguf"],
    },
    keywords="language models, autograd, transformers, education, numpy",
    # Only what the tests have seen; there is no public address yet, so no URLs.
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Education",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    entry_points={"console_scripts": ["tinylm = tinylm.cli:main"]},
)
