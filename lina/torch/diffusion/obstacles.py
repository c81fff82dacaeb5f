"""The parts of a network that see the whole image at once, so that it may fail above its trained resolution."""

from __future__ import annotations  # as text: the documentation is built without torch

import re
import warnings

from torch import nn

from lina.torch.diffusion.attention_block import AttentionBlock
from lina.torch.diffusion.checks import check_module

_ATTENTION = re.compile(r"attention|attn|non_?local|mhsa", re.IGNORECASE)
_LOCAL = re.compile(r"window|shifted|neighbo|(?<!non)(?<!non_)local", re.IGNORECASE)
_POSITIONS = re.compile(
    r"w?pe|(rows?|col(umn)?s?)_?emb\w*|(\w+_)?pos(ition(s|al)?)?(_?emb\w*|_?enc\w*|_?table)?", re.IGNORECASE
)


def guidance_obstacles(model: nn.Module) -> tuple[str, ...]:
    """Return what in a network attends over the whole image or has a table of its positions.

    Parameters
    ----------
    model : module
        A network of any package, or an adapter of it.

    Returns
    -------
    obstacles : tuple of str
        Names of modules and parameters with what they are; empty for networks of convolutions such as `UNet`.

    Raises
    ------
    TypeError
        If ``model`` is no module.

    Notes
    -----
    `lina.diffusion.upsample_guidance` expects that details at the high resolution come out right by themselves. Softmax
    over four times as many cells, and positions that were never trained, spoil them; scaled rotary positions
    (`UViT`, `lina.rope.rotate_axial`) are the other way. Attention at coarse levels only, as in latent
    diffusion, does less harm. Modules are known by torch's own classes and by their names ("attention", "attn",
    "nonlocal", "mhsa"; tables "pos_embed", "abs_pos_emb", "row_embed", "wpe" and the like), windows and neighbourhoods
    and what says that it is cross-attention left out, so that this is a hint and no proof.

    Examples
    --------
    >>> from lina.torch import UNet, UViT, guidance_obstacles
    >>> guidance_obstacles(UNet(1))
    ()
    >>> guidance_obstacles(UViT(1, 16, depth=1))
    ('positions: a table of positions', 'blocks.0: attention over the whole image (AttentionBlock)')
    """
    check_module(model, "model")
    found = [f"{name}: a table of positions" for name in _tables(model)]
    outermost = ""
    for name, module in model.named_modules():
        if outermost and name.startswith(outermost + "."):
            continue
        if _attends(module):
            found.append(f"{name or 'model'}: attention over the whole image ({type(module).__name__})")
            outermost = name
    return tuple(found)


def warn_of_obstacles(model: nn.Module) -> None:
    """Warn where a network has what `guidance_obstacles` finds."""
    found = guidance_obstacles(model)
    if found:
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        warnings.warn(
            f"model may fail above its trained resolution, with guidance too, as it has {', '.join(found[:2])}{more}: "
            "see lina.torch.guidance_obstacles",
            UserWarning,
            stacklevel=4,
        )


def _attends(module: nn.Module) -> bool:
    if getattr(module, "is_cross_attention", False) is True:
        return False  # its keys are those of a text, as many at any size of the image
    kind = type(module).__name__
    if isinstance(module, (AttentionBlock, nn.MultiheadAttention, nn.TransformerEncoderLayer)):
        return True
    # a block that only holds attention is named after it too: the one that has the parameters is meant
    holds = isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.Sequential))
    own = any(isinstance(each, (nn.Linear, nn.Conv1d, nn.Conv2d)) for each in module.children())
    own |= any(each.ndim >= 2 for each in module.parameters(recurse=False))
    return bool(_ATTENTION.search(kind)) and not _LOCAL.search(kind) and own and not holds


def _tables(model: nn.Module) -> list[str]:
    """Return the names of parameters and buffers that hold one row for each position."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    embeddings = {f"{name}.weight" for name, each in model.named_modules() if isinstance(each, nn.Embedding)}
    found = []
    for name, each in tensors.items():
        parts = name.split(".")
        own = parts[-2] if name in embeddings and len(parts) > 1 else parts[-1]
        if each.ndim >= 2 and _POSITIONS.fullmatch(own):
            found.append(name)
    return found
