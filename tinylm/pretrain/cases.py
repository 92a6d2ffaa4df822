"""How to check the objectives: each loss on a tiny model, its batch drawn once, every parameter differentiated."""
import numpy as np

from tinylm.autograd.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random, device_of
from tinylm.models.cases_early import ready
from tinylm.models.config import GPTConfig
from tinylm.models.encoder import Electra
from tinylm.models.encoder_heads import SpanBoundaryHead
from tinylm.models.gpt import GPT
from tinylm.models.presets_encoders import build, tiny
from tinylm.pretrain import contrastive
from tinylm.pretrain.multi_token import MultiTokenHeads
from tinylm.pretrain.objectives import OBJECTIVES, objective
from tinylm.pretrain.replaced import detection_losses, fooling_loss
from tinylm.pretrain.special import Special

SPECIAL = Special.after(4, sentinels=3, others=3)
ONCE = "the models are checked to second order part by part; whole, that would only take long"
SIZES = dict(vocab_size=SPECIAL.vocab_size, n_layer=1, n_head=2, d_model=4, d_hidden=3)
TEXT = np.array([[0, 1, 2, 3, 1, 0], [3, 3, 0, 2, 1, 2]])
MORE = dict(corpus=np.array([2, 0, 1, 1, 3, 2, 0, 3]), starts=np.arange(SPECIAL.vocab_size) != 1, ends=np.array([2]),
            dictionary=np.where(np.arange(SPECIAL.vocab_size) < 2, 3, -1)[:, None])


def encoder(rng, **changes):
    """A tiny BERT that tells classes and languages."""
    sizes = SIZES | dict(context=12, languages=2, classes=2) | changes
    return ready(build(tiny("bert-base-uncased", **sizes), int(rng.integers(99)), dtype=np.float64).eval())


def bounded(rng):
    """An encoder with a span boundary head."""
    model = encoder(rng, languages=0)
    model.boundary = ready(SpanBoundaryHead(4, SPECIAL.vocab_size, Random(int(rng.integers(99))), dtype=np.float64))
    return model


def electra(rng):
    """A pair with shared tables."""
    sizes = SIZES | dict(context=12, d_embed=3, pooler=False)
    pair = [tiny("electra-base", **sizes), tiny("electra-base-generator", **sizes)]
    return ready(Electra(*pair, int(rng.integers(99)), np.float64).eval())


def decoder(rng):
    """A tiny GPT."""
    return ready(GPT(GPTConfig(**SIZES, context=12, dropout=0.0), int(rng.integers(99)), np.float64).eval())


def seq2seq(rng):
    """A tiny BART."""
    return ready(build(tiny("bart-base", **SIZES), int(rng.integers(99)), dtype=np.float64).eval())


def xlnet(rng):
    """A tiny XLNet."""
    return ready(build(tiny("xlnet-base", **SIZES), int(rng.integers(99)), dtype=np.float64).eval())


MODELS = {"replaced": electra, "span-boundary": bounded, "permuted": xlnet, "causal": decoder, "fim": decoder,
          "multi-token": lambda rng: ready(MultiTokenHeads(decoder(rng), 4, 1).eval()), "translation": encoder}


def model_for(name, rng):
    """A tiny model that the objective of this name trains."""
    if name in MODELS:
        return MODELS[name](rng)
    return seq2seq(rng) if OBJECTIVES[name].trains == ("seq2seq",) or name in ("mass", "bert-style") else encoder(rng, languages=0)


def batch_for(name, seed=0):
    """An objective and a small batch of it."""
    made = objective(name, SPECIAL, **MORE)
    text = [(TEXT[0, :2], TEXT[0, 3:5]), (TEXT[1, :3], TEXT[1, 4:])] if name == "translation" else TEXT
    return made, made.make_batch(text, Random(seed, name))


def _draw(name):
    def draw(rng):
        yield call(model_for(name, rng), *batch_for(name, int(rng.integers(99))))
    return draw


def loss_of(model, made, batch):
    """The loss, wherever the model is."""
    return made.loss(model, batch.to(device_of(model.parameters()[0].data)))[0]


for _name, _kind in OBJECTIVES.items():
    # The eight denoisers and UL2 hand the same loss to the same model; one of them is enough.
    if _kind.family != "denoising" or _name in ("text-infilling", "sentinels"):
        register(f"pretrain.{_name}", loss_of, _draw(_name), order=1, reason=ONCE,
                 covers=(), source=f"book section {_kind.section}" if _kind.section[0].isdigit() else _kind.section)

register("pretrain.info_nce", contrastive.info_nce, lambda rng: [
    call(normal(rng, 3, 2), normal(rng, 3, 2), temperature=0.5, symmetric=both) for both in (False, True)], covers=(),
    source="Gao et al. 2021; Radford et al. 2021")
register("pretrain.bilinear_score", contrastive.bilinear_score, lambda rng: [call(normal(rng, 3, 2), normal(rng, 3, 2), normal(rng, 2, 2))],
         covers=(), source="book Table 1.1")
register("pretrain.mean_pool", contrastive.mean_pool, lambda rng: [
    call(normal(rng, 2, 3, 2), mask=np.array([[True, True, False], [True, True, True]])), call(normal(rng, 2, 3, 2))], covers=())
register("pretrain.detection_losses", detection_losses, lambda rng: [call(normal(rng, 2, 3), np.array([[0, 1, 1], [1, 0, 0]]))], covers=(),
         source="Clark et al. 2020")
register("pretrain.fooling_loss", lambda logits, **options: fooling_loss(logits, **options), lambda rng: [
    call(normal(rng, 2, 3, 4), tokens=np.array([[0, 3, 1], [2, 2, 0]]), rewards=rng.normal(size=(2, 3)),
         targets=np.array([[0, -100, 1], [2, 2, -100]]))], covers=(), source="Clark et al. 2020, appendix F")
