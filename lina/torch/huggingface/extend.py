"""Extend a model of transformers beyond its trained length, without touching its code or its weights."""

import copy
import warnings
from types import TracebackType
from typing import Any

from torch import nn

from lina._core.errors import LinaWarning
from lina.rope import RotaryScaling
from lina.rope._scaling import SHAPE
from lina.torch.attention.checks import check_scaling, check_start


def extend(model: Any, scaling: RotaryScaling, *, length: int | None = None) -> "Extension":
    """Let a Llama-type model of Hugging Face transformers read beyond its trained length, until it is undone.

    Its rotary module is replaced by one that turns nothing, and its attention by `extrapolated_attention` and
    `decode_attention`, registered with transformers. So its cache, the stock one, holds unrotated keys, which serve
    every row of every scaling: a prefill, its parts and single tokens return the same numbers.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Llama, Mistral, Qwen2, Qwen3 and what is built alike: any whose layers call attention by the configuration,
        with full causal attention, and rotate in the one way that ``scaling`` describes. That is looked at: the model
        runs eight tokens twice.
    scaling : RotaryScaling
        Of `lina.rope`, with the ``head_dim``, ``base``, ``rotary_dim`` and ``layout`` of the model, and what its
        frequencies were ``trained`` with: ``RotaryScaling.from_hf(model.config, kind="rerope")`` takes all of them from
        its configuration.
    length : int, optional
        The length that frequencies are for, needed where they follow one: for "dynamic" and "longrope", also as
        ``trained``, and the schedule "local_static".

    Returns
    -------
    extension : Extension
        ``extension.undo()``, or the end of a ``with`` block, puts the model back as it was.

    Raises
    ------
    TypeError
        If ``model`` is no module of torch, or ``scaling`` none of `lina.rope`; later, if a call comes with a cache
        that is no DynamicCache of plain layers.
    ValueError
        If the model has no rotary positions, or others than the scaling, or scaled ones that the scaling does not know
        of; if it has a sliding window, or three positions for each token, as for images (``mrope_section``); if its
        attention is not causal; if it is extended already; if ``length`` is missing, or the scaling's
        ``original_length`` beyond what the model was trained for. Later, if a call asks for attention that is not
        plainly causal, for attention weights or dropout, comes with a mask of four dimensions, with positions other
        than those of its tokens, or with a cache that others filled.
    ImportError
        If transformers, version 5.24 or later, is not installed.
    RuntimeError
        Later, if ``attn_implementation`` was set, or a ``with`` block begins after ``undo``.

    Warns
    -----
    LinaWarning
        If the model is in training mode.

    Notes
    -----
    Positions count the tokens of each sequence; what the two-dimensional ``attention_mask`` leaves out, on either side
    or between, is padding, and its rows see nothing. Sequences whose tokens begin at the same place run together. No
    mask of all pairs is built. With one query and no gradient, rotated keys are kept beside the cache as `RotaryCache`
    keeps them: the last ``window`` of "rerope", all of most kinds. They begin anew where a cache was reordered or
    cropped. A cache filled by an extended model is of no use to the model without its extension.

    Models whose frequencies were scaled in training, as of Llama 3.1 and later (``rope_type`` "llama3"), keep them
    under kinds of positions, by ``trained``; of kinds of frequencies they take their own, with other parameters too.
    Whether an entry of a configuration was there in training it does not say: one that was added afterwards, as
    "yarn" of Qwen2.5, belongs out of it first. A logit scale of training beside coordinates that do not rotate is
    refused: transformers leaves those out of it.

    The model's configuration is replaced by a copy and comes back with `Extension.undo`; what is changed in it
    meanwhile is lost. ``attn_implementation`` does not matter before, and must not be set meanwhile. A copy or a pickle
    of an extended model is extended for good: copy before, or after ``undo``. Threads may share an extended model, each
    with a cache of its own, but not extend it or undo that meanwhile.

    Source: J. Su, scientific spaces 9708.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import extend
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = {"vocab_size": 99, "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    >>> model = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=128)).eval()
    >>> text = torch.randint(3, 99, (1, 500))
    >>> with extend(model, RotaryScaling.from_hf(model.config, kind="rerope", window=64)):
    ...     longer = model.generate(text, attention_mask=torch.ones_like(text), min_new_tokens=5, max_new_tokens=5)
    >>> longer.shape
    torch.Size([1, 505])
    """
    check_scaling(scaling)
    _, length = check_start(0, length)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module of transformers, got {type(model).__name__}")
    if length is None and scaling.follows_length:
        raise ValueError("length must be given where frequencies follow it: those of keys in a cache could not change")
    owner = _rotary_owner(model)
    _check_config(owner.config)
    own = RotaryScaling.from_hf(owner.config, layout=scaling.layout)
    _check_scaling(own, owner.config.max_position_embeddings, scaling)
    return Extension(model, owner, scaling, length)


def _rotary_owner(model: nn.Module) -> Any:
    """Return the module that has the rotary module of all layers."""
    owners = [module for module in model.modules() if isinstance(getattr(module, "rotary_emb", None), nn.Module)]
    if len(owners) != 1 or not hasattr(owners[0], "config"):
        raise ValueError(
            f"model must have one module rotary_emb for all layers, as Llama has, got {type(model).__name__} with "
            f"{len(owners)}: learned positions cannot be extended, and of a model with several parts pass the one"
        )
    if any(weight.is_meta for weight in owners[0].parameters()):
        raise ValueError("model must have its weights, got some on the device 'meta'")
    return owners[0]


def _check_config(config: Any) -> None:
    """Raise ValueError where a configuration says what an extended model would not do."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("mrope_section") is not None:
        raise ValueError(
            "model must have one position for each token, got mrope_section in its rope_parameters: those of images "
            "have three"
        )
    if getattr(config, "output_attentions", False):
        raise ValueError("output_attentions of model must be False, got True: weights of all pairs are never there")
    layers = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    if (window is not None and (not layers or "sliding_attention" in layers)) or layers - {"full_attention"}:
        what = f"sliding_window = {window}" if window is not None else f"layer_types {sorted(layers)}"
        raise ValueError(f"model must have full attention in all layers, got {what}")


def _check_scaling(own: RotaryScaling, longest: int, scaling: RotaryScaling) -> None:
    """Raise ValueError where a scaling is for another model than that with its ``own`` one."""
    for name in SHAPE:
        wanted, given = getattr(own, name), getattr(scaling, name)
        if wanted != given:
            raise ValueError(f"{name} of scaling must be that of model, {wanted!r}, got {given!r}")
    if own.logit_scale is not None and own.rotary_dim != own.head_dim:
        raise ValueError(
            "model must rotate whole heads where its configuration has an attention factor (logit_scale "
            f"{own.logit_scale!r}), got rotary_dim = {own.rotary_dim} of head_dim = {own.head_dim}: "
            "transformers leaves the rest of a head out of that factor"
        )
    trained = None if own.kind in ("none", "dynamic") else own
    if scaling.changes_positions and scaling.trained != trained:
        raise ValueError(
            f"trained of scaling must be what model does to its frequencies, {trained}, got {scaling.trained}: "
            "RotaryScaling.from_hf(model.config, kind=...) has it"
        )
    if not scaling.changes_positions and trained is not None and scaling.kind != trained.kind:
        raise ValueError(
            f"kind of scaling must be {trained.kind!r}, which model was trained with, or one of positions, got "
            f"{scaling.kind!r}; where that was added to its configuration afterwards, load the model without it"
        )
    if own.kind in ("linear", "yarn", "longrope"):  # whose configurations say either length
        longest = max(longest, int(own.original_length * (own.factor or 1)))
    if scaling.original_length > longest:
        raise ValueError(
            f"original_length of scaling must be at most that of model, {longest}, got {scaling.original_length}"
        )


class Extension:
    """What `extend` changed in a model, and the way back: ``undo()``, or the end of a ``with`` block.

    Attributes
    ----------
    model, scaling, length
        As given to `extend`.
    """

    def __init__(self, model: nn.Module, owner: Any, scaling: RotaryScaling, length: int | None):
        self.model, self.scaling, self.length = model, scaling, length
        self._changed: list[tuple[Any, str, Any]] = []
        try:
            from lina.torch.huggingface import interface, probe
        except ImportError as error:
            raise ImportError(
                "extend needs transformers, version 5.24 or later: pip install -U transformers"
            ) from error
        if isinstance(owner.rotary_emb, interface.IdentityRotary):
            raise ValueError(
                "model must not be extended already, got one that is: call undo() of that extension first; a copy made "
                "meanwhile stays extended"
            )
        self._hooks: list[Any] = []
        try:
            self._apply(owner, interface, probe)
        except BaseException:
            self.undo()
            raise
        if model.training:
            warnings.warn(interface.TRAINING, LinaWarning, stacklevel=3)

    def _apply(self, owner: Any, interface: Any, probe: Any) -> None:
        """Replace configuration and rotary module, and tell each attention module its scaling."""
        config, own = owner.config, copy.deepcopy(owner.config)
        for module in self.model.modules():
            if module.__dict__.get("config") is config:
                self._set(module, "config", own)
        identity = interface.IdentityRotary(probe.rotary_width(owner.rotary_emb, owner))
        layers = probe.attention_modules(owner, own, identity, self.scaling.layout)
        own._attn_implementation = interface.ATTENTION
        self._set(owner, "rotary_emb", identity)
        for i, module in enumerate(layers):
            state = interface.LayerState(self.scaling, self.length, warns=i == 0 and not self.model.training)
            self._set(module, interface.STATE, state)
            self._hooks.append(module.register_forward_pre_hook(interface.before_attention, with_kwargs=True))

    def _set(self, module: Any, name: str, value: Any) -> None:
        self._changed.append((module, name, getattr(module, name, None)))
        setattr(module, name, value)

    def undo(self) -> None:
        """Put the model back as it was; a second time does nothing."""
        for hook in self._hooks:
            hook.remove()
        for module, name, before in reversed(self._changed):
            if before is None:
                delattr(module, name)
            else:
                setattr(module, name, before)
        self._hooks, self._changed = [], []

    def __enter__(self) -> "Extension":
        """Return itself."""
        if not self._changed:
            raise RuntimeError("extension was undone already: call extend(model, scaling) again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Undo."""
        self.undo()
