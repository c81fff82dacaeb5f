r"""
Reading beyond the trained length
=================================

A model with rotary positions compares queries and keys at relative positions :math:`i - j`, and one that was trained
on L positions has met none beyond L - 1. ReRoPE, Leaky ReRoPE and Self-Extend tell attention other positions
:math:`P_{ij}`, all of which it knows, and train nothing. :ref:`Another page
<sphx_glr_gallery_rope_plot_position_maps.py>` draws these; here they are attention: compared with its definition,
differentiated, decoded with a cache, and tried on a small model of Python's own source code.
"""

import math
import sysconfig
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import cross_entropy, pad

from lina.rope import RotaryScaling, rotate, suggest
from lina.torch import (
    RotaryCache,
    RotaryDecoder,
    decode_attention,
    evaluate_extrapolation,
    extrapolated_attention,
    merge_attention,
)

torch.set_num_threads(1)  # faster for models of this size
torch.manual_seed(0)
BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#999999"
trained, head_dim = 64, 32


def scaling(kind, length):
    return RotaryScaling(**suggest(kind, trained, length), head_dim=head_dim)


# %%
# **What is computed.** With pairs of coordinates as complex numbers the logit of query i and key j is
# :math:`\operatorname{Re} \sum_p q_p \bar k_p \, e^{\mathrm{i} P_{ij} \theta_p}`. Written down like this it takes an
# angle for every pair of positions and every frequency. `extrapolated_attention` forms none of that: near keys and far
# keys are plain causal attentions with queries and keys that were turned once each, merged afterwards. Outputs and
# gradients are those of the definition, up to rounding in single precision.


def definition(q, k, v, scaling):
    P = torch.from_numpy(scaling.position_matrix(q.shape[-2]))
    angles = P.nan_to_num()[..., None] * torch.from_numpy(scaling.inv_freq())
    a, b = (torch.complex(*x.chunk(2, -1)) for x in (q, k))
    turned = torch.einsum("...ip,ijp,...jp->...ij", a, torch.polar(torch.ones_like(angles), angles), b.conj())
    logits = turned.real / math.sqrt(q.shape[-1])
    return logits.masked_fill(P.isnan(), -torch.inf).softmax(-1) @ v  # NaN where a key is not seen


def with_gradients(attention, tensors, scaling):
    tensors = [x.detach().requires_grad_() for x in tensors]
    out = attention(*tensors, scaling)
    return [out.detach(), *torch.autograd.grad((out * torch.arange(out.shape[-2])[:, None]).sum(), tensors)]


n = 300
q, k, v = torch.randn(3, 1, 4, n, head_dim)
print(f"{'':14}{'output':>9}{'by q':>9}{'by k':>9}{'by v':>9}")
for kind in ("rerope", "leaky_rerope", "self_extend", "window"):
    found = with_gradients(extrapolated_attention, (q, k, v), scaling(kind, n))
    exact = with_gradients(definition, (q.double(), k.double(), v.double()), scaling(kind, n))
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True)]
    print(f"{kind:14}" + "".join(f"{error:9.0e}" for error in errors))

# %%
# **Merging.** Attention over some keys and attention over the others make attention over all, if each brings the
# logarithm :math:`\ell` of its sum of :math:`e^{\text{logit}}`: the outputs are averaged with weights
# :math:`e^{\ell}`. This takes ReRoPE apart by hand: a window, and far keys that are not turned at all, met by queries
# that are turned to the position w. So a cache needs to turn no far key, ever.

rerope = scaling("rerope", n)
w = rerope.window
near = RotaryScaling("window", head_dim=head_dim, original_length=trained, window=w)
out, lse = extrapolated_attention(q, k, v, near, return_lse=True)
logits = rotate(q[..., w:, :], w, rerope.inv_freq()) @ k[..., :-w, :].mT / math.sqrt(head_dim)
logits = logits.masked_fill(torch.ones(n - w, n - w).triu(1).bool(), -torch.inf)
far_out = pad(logits.softmax(-1) @ v[..., :-w, :], (0, 0, w, 0))
far_lse = pad(logits.logsumexp(-1), (w, 0), value=-torch.inf)  # the first w rows have no far keys
merged, _ = merge_attention((out, far_out), (lse, far_lse))
whole = extrapolated_attention(q, k, v, rerope)
print(f"near and far by hand, merged: off by {(merged - whole).abs().max() / whole.abs().max():.0e}")

# %%
# **Decoding.** A cache holds keys that are not turned, so that any method can read it. 200 positions at once, then
# single ones:

for kind in ("none", "rerope", "leaky_rerope", "self_extend", "yarn"):
    each = scaling(kind, n)
    whole, cache = extrapolated_attention(q, k, v, each), RotaryCache(each)
    cache.append(k[..., :200, :], v[..., :200, :])
    error = 0.0
    for i in range(200, n):
        cache.append(k[..., i : i + 1, :], v[..., i : i + 1, :])
        row = decode_attention(q[..., i : i + 1, :], cache)
        error = max(error, float((row - whole[..., i : i + 1, :]).abs().max() / whole.abs().max()))
    print(f"{kind:14}{n - 200} positions, one by one: off by {error:.0e}")

# %%
# **A model.** `RotaryDecoder` predicts bytes. It learns the modules of Python's standard library in pieces of 64 bytes,
# for about twenty seconds; every sixth module is kept aside for what follows.

modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
learned = b"".join(module.read_bytes() for i, module in enumerate(modules) if i % 6)
learned = torch.frombuffer(bytearray(learned), dtype=torch.uint8)
texts = [module.read_bytes()[:1024] for module in modules[::6]]
texts = torch.stack([torch.tensor(list(text)) for text in texts if len(text) == 1024])

model = RotaryDecoder(scaling("none", trained), width=64, depth=2)
steps, batch = 500, 32
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.95), weight_decay=0.01)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps, pct_start=0.1)
for _ in range(steps):
    first = torch.randint(len(learned) - trained, (batch, 1))
    tokens = learned[first + torch.arange(trained + 1)].long()
    loss = cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(learned):,} bytes, {len(texts)} texts to score")

# %%
# **Where it fails.** The loss of each byte of the texts, averaged over all of them and over 32 neighbours. Under RoPE
# it jumps soon after the positions end that were trained. YaRN, whose frequencies are set for 1024 positions, costs
# something from the first one on; ReRoPE goes on as if nothing had happened.

styles = {
    "none": {"color": "black"},
    "linear": {"color": GREY, "linestyle": "--"},
    "ntk": {"color": PURPLE},
    "yarn": {"color": ORANGE},
    "rerope": {"color": BLUE},
    "leaky_rerope": {"color": SKY},
    "self_extend": {"color": SKY, "linestyle": ":"},
    "window": {"color": GREEN, "linestyle": "--"},
}

fig, axis = plt.subplots(figsize=(7, 3), layout="constrained")
for kind in ("none", "yarn", "rerope"):
    with torch.no_grad():
        logits = model(texts, scaling=scaling(kind, 1024))[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), texts[:, 1:], reduction="none").mean(0)
    axis.plot(range(17, 1009), losses.unfold(0, 32, 1).mean(1), label=kind, **styles[kind])
axis.axvline(trained, color="black", linewidth=0.8, linestyle=":")
axis.set(xlabel="position", ylabel="loss, nats", xlim=(0, 1024), xticks=[0, 64, 256, 512, 768, 1024])
axis.legend(fontsize=8, loc="upper left")
plt.show()

# %%
# **The loss against the context.** Some bytes are harder than others, wherever they are, and texts differ: the waves
# above are that. So `evaluate_extrapolation` scores the same last bytes every time, with ever more text before them,
# and the standard error of the rise is paired by texts. The bars are those of the loss itself, and mostly say that
# texts differ. Each method has the numbers that `suggest` finds for the context.

contexts, segment = (64, 128, 256, 512, 1024), 32


def evaluate(kind, **options):
    def logits(tokens):
        return model(tokens, scaling=scaling(kind, tokens.shape[1]))

    return evaluate_extrapolation(logits, texts, contexts, segment, batch=32, **options)


tables = {kind: evaluate(kind) for kind in styles}
print(tables["rerope"])
fig, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for kind, table in tables.items():
    table.plot(axis, label=kind, markersize=4, capsize=2, elinewidth=1, **styles[kind])
axis.set_xticks(contexts, contexts)
axis.legend(fontsize=8, ncols=2)
plt.show()

# %%
# The window is as good as any of them, and it sees no more than the trained length: a model as small as this gains
# nothing from text farther away. So the plot shows which methods do no harm, and not which make use of a long text.

# %%
# **Repeated text.** With ``repeated=True`` the context is the last 64 bytes over and over, so that beyond the first
# context it holds the answer. A model that can look back that far and copy would soon have no loss at all. This one
# cannot: the test tells methods that keep the model working from those that do not, and no more.

fig, axis = plt.subplots(figsize=(7, 3), layout="constrained")
for kind in ("none", "yarn", "rerope", "window"):
    table = evaluate(kind, repeated=True)
    right = 100 * table.accuracy
    axis.plot(contexts, right, marker="o", markersize=4, label=kind, **styles[kind])
    print(f"{kind:8} {right[0]:.1f} % of the bytes right after 64, {right[-1]:.1f} % after 1024")
axis.set_xscale("log", base=2)
axis.set_xticks(contexts, contexts)
axis.set(xlabel="context, tokens", ylabel="bytes right, %", ylim=(0, None))
axis.legend(fontsize=8)
plt.show()
