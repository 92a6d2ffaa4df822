"""Small models for the figures: what is at hand without a run on disk."""

from tinylm.explore import AtHand
from tinylm.explore.at_hand import OpenedModel
from tinylm.models import GPT, GPTConfig
from tinylm.tokenizers import ByteTokenizer

PROMPT = "To be or not"


class Built(AtHand):
    """A model that was built and not opened."""

    @property
    def opened(self):
        return self.__dict__["built"]


def at_hand(prompt=PROMPT, seed=0, **settings):
    """What is at hand with an untrained GPT over bytes; settings of GPTConfig."""
    sizes = {"context": 48, "n_layer": 2, "n_head": 4, "d_model": 32, "positions": "rope"}
    model = GPT(GPTConfig(256, **{**sizes, **settings}), seed=0).eval()
    found = Built("a model", prompt=prompt, seed=seed)
    return with_tokenizer(found, model, ByteTokenizer())


def with_tokenizer(found, model, tokenizer):
    """Put a model and a tokenizer in place of the run on disk."""
    found.__dict__["built"] = OpenedModel(model, tokenizer, None, (), (), None)
    return found


CELLS = """table => [...table.querySelectorAll("tbody tr")].map(
    row => [...row.querySelectorAll("td")].map(cell => cell.textContent))"""


def numbers_of(table):
    """The numbers of a table of the page, row by row; the first cell of a row is its name."""
    return [[float(cell.replace("−", "-")) for cell in row] for row in table.evaluate(CELLS)]


def unfolded(part, which=0):
    """The table of a part of the page that is folded away at first, once it is there."""
    details = part.locator("details").nth(which)
    details.locator("summary").click()
    details.locator("table").wait_for()
    return details.locator("table")
