"""RotaryScaling: how a model of rotary positions is read beyond the length that it was trained on."""

from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lina._core.checks import check_option
from lina.rope import _frequencies as frequencies
from lina.rope import _position_maps as maps
from lina.rope._checks import check_above, check_count, check_even, check_positions
from lina.rope._logit_scales import LogitScale, called, check_logit_scale, log_n_scale, yarn_scale
from lina.rope._parameters import FREQUENCY_KINDS, KINDS, NAMES, SCALED, resolve
from lina.rope._schedules import bucket_of, factor_of

if TYPE_CHECKING:
    from lina.rope._huggingface import HFRotary

LAYOUTS = ("half", "interleaved")
# Parameters of a model's heads, the same in every scaling of it.
SHAPE = ("head_dim", "base", "rotary_dim", "layout")


@dataclass(frozen=True)
class RotaryScaling:
    """Frequencies, positions and logit scale with which rotary attention reads more than it was trained on.

    The logit of query i and key j is scale(i) (R^P q) . k with R the rotation by `inv_freq` over one position and P the
    entry (i, j) of `position_matrix`. Kinds change either the frequencies or P.

    Parameters
    ----------
    kind : str
        Of frequencies: "none"; "linear" (position interpolation); "ntk", "ntk_fixed", "ntk_mixed" (a larger base, in
        three forms); "dynamic" (the base grows with the length); "yarn"; "llama3"; "longrope" (lists of divisors).
        Of positions, with m = i - j and w = ``window``: "rerope" (min(m, w)); "leaky_rerope" (w + (m - w) / ``factor``
        from w on); "self_extend" (floor(i / G) - floor(j / G) + w - floor(w / G) from w on, G = ``group``, which need
        not divide w); "window" (m < w only); "sink" (also the first ``sinks`` keys, positions counted within the cache
        of sinks + w keys); "lambda_mask" (also the first ``sinks`` keys, at most at the distance ``original_length``).
    head_dim : int
        Coordinates d of a head, even.
    original_length : int
        Trained length.
    base : float
        Base b of the trained frequencies b^(-2i/d), above 1.
    factor : float
        Scale s of the context, at least 1; in "dynamic" of the base's growth, in "leaky_rerope" that of far distances,
        which is above 0. The schedules other than "static" set it.
    window, sinks : int
        Window w, at most ``original_length`` (together with the sinks in "sink"): half of it by default in the
        first three kinds of positions, all of it in the others; sinks are 4, in "lambda_mask" 10.
    group : int
        Group of Self-Extend.
    ramp : {"dims", "turns"}
        Between which frequencies YaRN passes from kept to interpolated: linearly in their index, as the code that
        everybody runs has it, or in their number of turns, as the paper has it. The two differ by up to a factor 2.
    beta_fast, beta_slow : float
        Turns in training, 32 and 1, at the ends of the ramp.
    truncate : bool
        Whether the ends of the ramp "dims" are rounded outwards to whole indices, as by default.
    low_freq_factor, high_freq_factor : float
        The same turns for "llama3", 1 and 4, whose ramp is that of "turns".
    exponent : float
        Exponent 0.625 of "ntk_mixed": 0 is "linear", 1 is "ntk_fixed".
    short_factor, long_factor : sequence of float, rotary_dim / 2 entries
        Divisors of the frequencies of "longrope" up to and beyond the trained length.
    rotary_dim : int
        The first coordinates of a head, which rotate: all by default.
    layout : {"half", "interleaved"}
        Whether coordinate i turns with i + rotary_dim / 2 or 2i with 2i + 1.
    logit_scale : None, "yarn", "log_n", "log_n_clipped", float or callable
        Factor on the queries: none; (0.1 ln s + 1)^2, which belongs to YaRN as published; that of `log_n_scale`, plain
        or clipped; a number; or a function of the positions.
    trained : RotaryScaling, optional
        For kinds of positions: the frequencies and the logit scale that the model was trained with, where these are not
        plain, as those of Llama 3.1 and later ("llama3"). A static scaling of frequencies, of the same head. Those of
        "longrope" are for lengths up to this scaling's ``original_length`` unless `inv_freq` is given another.
    schedule : {"static", "local_static", "row_bucket"}
        Where s comes from: ``factor``; the length that is given, for a conversation of known length; or the row of the
        query, as `bucket_of` says. Only the last grows with decoding and agrees with a prefill.

    Attributes
    ----------
    kind, head_dim, ...
        All parameters, defaults filled in; those that the kind does not have are None, ``sinks`` 0.

    Raises
    ------
    TypeError
        If a number is none, or of the wrong kind.
    ValueError
        If an option is unknown, a number out of its range, a parameter missing, or given to a kind without it; or if
        the ramp "dims" has no index between its ends, as where hardly a position was trained.

    Notes
    -----
    "dynamic" is there for parity with transformers, and has its fault: the frequencies follow the longest length seen,
    so keys in a cache were rotated by others than a prefill of the same text would use. "row_bucket" has not.

    Sources: J. Su, scientific spaces 9431 to 9948; S. Chen et al. (linear), bloc97 (ntk), B. Peng et al. (yarn),
    Y. Ding et al. (longrope), H. Jin et al. (self_extend), G. Xiao et al. (sink), C. Han et al. (lambda_mask).

    Examples
    --------
    >>> from lina.rope import RotaryScaling
    >>> RotaryScaling("ntk", head_dim=8, original_length=512, factor=8).inv_freq().round(6)
    array([1.00e+00, 5.00e-02, 2.50e-03, 1.25e-04])
    >>> RotaryScaling("rerope", head_dim=8, original_length=4, window=2).position_matrix(4)
    array([[ 0., nan, nan, nan],
           [ 1.,  0., nan, nan],
           [ 2.,  1.,  0., nan],
           [ 2.,  2.,  1.,  0.]])
    """

    kind: str
    _: KW_ONLY
    head_dim: int
    original_length: int
    base: float = 10000.0
    factor: float | None = None
    window: int | None = None
    group: int | None = None
    sinks: int | None = None
    ramp: str | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    truncate: bool | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    exponent: float | None = None
    short_factor: tuple[float, ...] | None = None
    long_factor: tuple[float, ...] | None = None
    rotary_dim: int | None = None
    layout: str = "half"
    logit_scale: LogitScale = None
    schedule: str = "static"
    trained: "RotaryScaling | None" = None

    def __post_init__(self) -> None:
        """Check what was given and fill in what was not."""
        check_option(self.kind, tuple(KINDS), "kind")
        check_option(self.layout, LAYOUTS, "layout")
        values: dict[str, Any] = {
            "head_dim": check_even(self.head_dim, "head_dim"),
            "original_length": check_count(self.original_length, "original_length"),
            "base": check_above(self.base, "base", 1),
            "logit_scale": check_logit_scale(self.logit_scale),
        }
        rotary = values["head_dim"] if self.rotary_dim is None else check_even(self.rotary_dim, "rotary_dim")
        if rotary > values["head_dim"]:
            raise ValueError(f"rotary_dim must be at most head_dim = {values['head_dim']}, got {rotary}")
        if self.kind in ("ntk", "dynamic") and rotary == 2:
            raise ValueError(f"rotary_dim must be at least 4 for kind {self.kind!r}, got 2: one frequency has no base")
        given = {name: getattr(self, name) for name in NAMES}
        # what is equal to a default of the class after `replace` was never asked for
        given["sinks"] = (
            None
            if isinstance(self.sinks, int) and self.sinks == 0 and "sinks" not in KINDS[self.kind]
            else given["sinks"]
        )
        values |= resolve(self.kind, given, self.schedule, values["original_length"], rotary // 2)
        for name, value in {**values, "rotary_dim": rotary}.items():
            object.__setattr__(self, name, value)
        self._check_together()

    def _check_together(self) -> None:
        self._check_trained()
        if self.kind == "yarn":
            self._kept(frequencies.rotary_frequencies(self._rotary_dim, self.base))
        if self.kind == "ntk" and self.schedule == "static":
            frequencies.ntk_base(self._rotary_dim, self.base, self.factor or 1.0)
        if self.logit_scale == "yarn" and self.kind not in SCALED:
            raise ValueError(f"logit_scale must not be 'yarn' for kind {self.kind!r}, whose context has no scale")
        if self.logit_scale in ("log_n", "log_n_clipped"):
            check_count(self.original_length, "original_length", 2)

    def _check_trained(self) -> None:
        """Raise unless frequencies of training are there for positions only, and belong to the same head."""
        trained = self.trained
        if trained is None:
            return
        if not isinstance(trained, RotaryScaling):
            raise TypeError(f"trained must be a RotaryScaling or None, got {type(trained).__name__}")
        if not self.changes_positions:
            raise ValueError(f"trained must be left out for kind {self.kind!r}, which has frequencies of its own")
        if trained.changes_positions or trained.kind == "dynamic" or trained.schedule != "static":
            wanted = "a static scaling of frequencies, other than 'dynamic'"
            raise ValueError(f"trained must be {wanted}, got {trained.kind!r} with schedule {trained.schedule!r}")
        for name in SHAPE:
            wanted, given = getattr(trained, name), getattr(self, name)
            if wanted != given:
                raise ValueError(f"{name} must be that of trained, {wanted!r}, got {given!r}")
        if trained.kind == "none" and trained.logit_scale is None:
            object.__setattr__(self, "trained", None)

    def __repr__(self) -> str:
        """Return the call that makes it, without what is left at its default."""
        given = [(each.name, getattr(self, each.name), each.default) for each in fields(self)[1:]]
        shown = [f"{name}={value!r}" for name, value, default in given if value is not None and value != default]
        skipped = {f"rotary_dim={self.head_dim}", "sinks=0"}
        return f"RotaryScaling({self.kind!r}, {', '.join(text for text in shown if text not in skipped)})"

    def inv_freq(self, length: int | None = None) -> np.ndarray:
        """Return the frequencies in radians per position, float64 of shape (rotary_dim / 2,), the fastest first.

        ``length`` is the number of positions they are for where `follows_length`; None is the trained length. Others do
        not depend on it.
        """
        seen = self.original_length if length is None else check_count(length, "length")
        dim, theta = self._rotary_dim, frequencies.rotary_frequencies(self._rotary_dim, self.base)
        s = factor_of(self.schedule, self.factor, seen, self.original_length)
        if self.kind == "linear":
            return frequencies.linear(theta, s)
        if self.kind == "ntk":
            return frequencies.ntk(dim, self.base, s)
        if self.kind == "ntk_fixed":
            return frequencies.ntk_fixed(theta, s)
        if self.kind == "ntk_mixed":
            return frequencies.ntk_mixed(theta, s, self.exponent or 0.0)
        if self.kind == "dynamic":
            return frequencies.dynamic(dim, self.base, s, self.original_length, seen)
        if self.kind in ("yarn", "llama3"):
            return frequencies.by_parts(theta, s, self._kept(theta))
        if self.trained is not None:
            return self.trained.inv_freq(seen)
        if self.kind == "longrope":
            return theta / np.asarray(self.long_factor if seen > self.original_length else self.short_factor)
        return theta

    @property
    def _rotary_dim(self) -> int:
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    def _kept(self, theta: np.ndarray) -> np.ndarray:
        """Return the share of each frequency that "yarn" or "llama3" keeps."""
        length = self.original_length
        if self.kind == "llama3":
            low, high = self.low_freq_factor or 0.0, self.high_freq_factor or 0.0
            return frequencies.ramp_of_turns(theta, length, low, high)
        slow, fast = self.beta_slow or 0.0, self.beta_fast or 0.0
        if self.ramp == "turns":
            return frequencies.ramp_of_turns(theta, length, slow, fast)
        return frequencies.ramp_of_dims(self._rotary_dim, self.base, length, slow, fast, bool(self.truncate))

    def position_matrix(self, L: int) -> np.ndarray:
        """Return the relative positions P, float64 of shape (L, L): rows are queries, NaN where a key is not seen.

        They belong to the frequencies of `inv_freq`, so that kinds of frequencies have i - j. It is for tests and
        pictures: attention needs no matrix of this size.
        """
        n = check_count(L, "L")
        i, j = np.arange(n, dtype=np.float64)[:, None], np.arange(n, dtype=np.float64)
        return np.where(i >= j, self._distance(i, j), np.nan)

    def _distance(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        options: dict[str, Any] = {name: getattr(self, name) for name in ("window", "factor", "group", "sinks")}
        w = options["window"]
        if self.kind == "rerope":
            return maps.rerope(i, j, w)
        if self.kind == "leaky_rerope":
            return maps.leaky_rerope(i, j, w, options["factor"])
        if self.kind == "self_extend":
            return maps.self_extend(i, j, w, options["group"])
        if self.kind == "window":
            return maps.window_only(i, j, w)
        if self.kind == "sink":
            return maps.sink(i, j, w, options["sinks"])
        if self.kind == "lambda_mask":
            return maps.lambda_mask(i, j, w, options["sinks"], self.original_length)
        return maps.plain(i, j)

    def query_scale(self, positions: Any, length: int | None = None) -> np.ndarray:
        """Return the factors on the queries at absolute ``positions``, float64 of the same shape.

        They are for queries only, beside the usual 1 / sqrt(d). ``length`` is for "yarn" in the schedule
        "local_static".
        """
        where = check_positions(positions)
        own = self._own_scale(where, length)
        return own if self.trained is None else own * self.trained.query_scale(where, length)

    def _own_scale(self, where: np.ndarray, length: int | None) -> np.ndarray:
        if self.logit_scale is None:
            return np.ones(where.shape)
        if self.logit_scale == "yarn":
            by_row = self.schedule == "row_bucket" and self.kind != "longrope"
            s = bucket_of(where, self.original_length) if by_row else self._scale_of(length)
            return np.broadcast_to(yarn_scale(s), where.shape).copy()
        if isinstance(self.logit_scale, str):
            return log_n_scale(where, self.original_length, clipped=self.logit_scale == "log_n_clipped")
        if callable(self.logit_scale):
            return called(self.logit_scale, where)
        return np.full(where.shape, self.logit_scale)

    def _scale_of(self, length: int | None) -> float:
        if self.kind == "longrope":  # its factor is given, whatever the schedule
            return self.factor or 1.0
        return factor_of(self.schedule, self.factor, length, self.original_length)

    def at(self, length: int) -> "RotaryScaling":
        """Return the static scaling that the schedule "local_static" means at a length; a static one is itself."""
        check_count(length, "length")
        if self.schedule == "static":
            return self
        if self.schedule == "row_bucket":
            raise ValueError("schedule must be 'static' or 'local_static', got 'row_bucket': rows differ")
        return replace(self, schedule="static", factor=self._scale_of(length))

    @property
    def follows_length(self) -> bool:
        """Whether frequencies depend on the length that they are for."""
        own = self if self.trained is None else self.trained
        return own.kind in ("dynamic", "longrope") or self.schedule == "local_static"

    @property
    def changes_positions(self) -> bool:
        """Whether the kind changes positions, and not frequencies."""
        return self.kind not in FREQUENCY_KINDS

    @classmethod
    def from_hf(
        cls, config: Any, *, layer_type: str | None = None, layout: str = "half", **options: Any
    ) -> "RotaryScaling":
        """Return the scaling that a configuration of transformers asks for, or another one for the same model.

        Parameters
        ----------
        config : PretrainedConfig or dict
            With ``rope_parameters`` (or the older ``rope_scaling`` and ``rope_theta``), ``head_dim`` or ``hidden_size``
            and ``num_attention_heads``, and ``max_position_embeddings``.
        layer_type : str, optional
            Which of the parameters, where each type of layer has its own.
        layout : {"half", "interleaved"}
            As the model has it: its configuration does not say.
        **options
            Parameters of `RotaryScaling` in place of those of the configuration. With a ``kind`` of frequencies among
            them, only ``head_dim``, ``original_length``, ``base`` and ``rotary_dim`` come from there. With a kind of
            positions, what the configuration itself does to the frequencies becomes ``trained``, and
            ``original_length`` is ``max_position_embeddings``: a configuration scaled after training should be read
            without that. "dynamic" changes nothing within the trained length, and is dropped.

        Returns
        -------
        scaling : RotaryScaling
            With an attention factor a, also a default one, as the logit scale a^2: "yarn" where that is the same.
            Transformers leaves out of it what does not rotate of a head.

        Raises
        ------
        TypeError
            If there is no such parameter, or an entry is no number or no dict where it has to be one.
        ValueError
            If the type is unknown, a needed number is missing, or the options do not belong together.

        Examples
        --------
        >>> from lina.rope import RotaryScaling
        >>> config = {"hidden_size": 4096, "num_attention_heads": 32, "max_position_embeddings": 4096}
        >>> RotaryScaling.from_hf(config, kind="rerope", window=1024)
        RotaryScaling('rerope', head_dim=128, original_length=4096, window=1024)
        """
        from lina.rope._huggingface import from_hf, with_options

        return with_options(from_hf(config, layer_type, layout), options, config)

    def to_hf(self, length: int | None = None, xp: Any = np) -> "HFRotary":
        """Return what transformers needs: (rope_parameters, inv_freq, attention_factor).

        Parameters
        ----------
        length : int, optional
            As in `inv_freq`.
        xp : namespace of arrays
            Where the frequencies are computed: numpy, torch, ...

        Returns
        -------
        rope_parameters : dict
            For the configuration, whose ``max_position_embeddings`` is ``original_length`` for "dynamic". Kinds and
            ramps that transformers has not are written as "longrope" with equal lists, "ntk" as its base.
        inv_freq : array of ``xp``, shape (rotary_dim / 2,), float32
            By the float32 steps of transformers: with ``xp=torch`` the same bits, elsewhere up to its powers.
        attention_factor : float
            Factor on the tables of cos and sin, the root of the logit scale.

        Raises
        ------
        ValueError
            If transformers has no such thing: kinds of positions, the schedule "row_bucket", logit scales that follow
            positions, or any logit scale for the types that carry none.
        """
        from lina.rope._huggingface import to_hf

        return to_hf(self, length, xp)
