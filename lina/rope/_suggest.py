"""Parameters by the published rules, for a trained and a wanted length."""

import math
from typing import Any

from lina._core.checks import check_option
from lina.rope._checks import check_count
from lina.rope._parameters import KINDS

_BY_FACTOR = ("linear", "ntk", "ntk_fixed", "ntk_mixed", "dynamic", "yarn", "llama3")
METHODS = tuple(kind for kind in KINDS if kind != "longrope")  # whose lists are searched for, not given by a rule


def suggest(method: str, train_length: int, test_length: int) -> dict[str, Any]:
    """Return the arguments of `RotaryScaling`, but for the shape of the model, by the published rules.

    Parameters
    ----------
    method : str
        A kind of `RotaryScaling` other than "longrope", whose lists come from a search.
    train_length, test_length : int
        Trained and wanted length N and L. With L at most N all factors and groups are 1.

    Returns
    -------
    arguments : dict
        ``kind``, ``original_length`` and what the kind needs. With s = max(1, L / N):

        - "linear", "ntk_fixed", "ntk_mixed", "llama3": factor s; "yarn" also its logit scale;
        - "ntk": factor 2 s, because it holds up to half of the length that it is set to;
        - "dynamic": factor 1, with which the base follows the length by itself;
        - "rerope": window N / 2, the upper end of the range N/4 to N/2;
        - "leaky_rerope": window N / 4, and the least factor with w + (L - 1 - w) / factor <= N / 2;
        - "self_extend": about the same, the least group with w + (L - w) / group < N / 2, whose largest multiple up to
          N / 4 is the window w; where no group up to N / 4 does, w = N / 4 and the least group beyond;
        - "window", "lambda_mask": the trained length; "sink": 4 sinks and the trained length less these.

    Raises
    ------
    TypeError
        If a length is no int.
    ValueError
        If the method is unknown, ``train_length`` below 8 or ``test_length`` not positive.

    Notes
    -----
    Sources: J. Su, scientific spaces 9708, 9728 and 9948; H. Jin et al., Self-Extend, 2024; G. Xiao et al.,
    StreamingLLM, 2023; C. Han et al., LM-Infinite, 2023. A rule of thumb is no certificate: measure the loss of one and
    the same last segment in contexts of different length.

    Examples
    --------
    >>> from lina.rope import RotaryScaling, suggest
    >>> suggest("leaky_rerope", 512, 4096)
    {'kind': 'leaky_rerope', 'original_length': 512, 'window': 128, 'factor': 30.9921875}
    >>> RotaryScaling(**suggest("yarn", 4096, 32768), head_dim=128)
    RotaryScaling('yarn', head_dim=128, original_length=4096, factor=8.0, ramp='dims', beta_fast=32.0, beta_slow=1.0, \
truncate=True, logit_scale='yarn')
    """
    check_option(method, METHODS, "method")
    n, length = check_count(train_length, "train_length", 8), check_count(test_length, "test_length")
    return {"kind": method, "original_length": n, **_rule(method, n, length)}


def _rule(method: str, n: int, length: int) -> dict[str, Any]:
    s, quarter = max(1.0, length / n), n // 4
    if method == "dynamic":
        return {"factor": 1.0}
    if method in _BY_FACTOR:
        scale = {"logit_scale": "yarn"} if method == "yarn" else {}
        return {"factor": 2 * s if method == "ntk" and s > 1 else s, **scale}
    if method == "rerope":
        return {"window": n // 2}
    if method == "leaky_rerope":
        return {"window": quarter, "factor": (length - 1 - quarter) / (n / 2 - quarter) if length > n else 1.0}
    if method == "self_extend":
        return _window_and_group(n, length, quarter)
    if method == "none":
        return {}
    return {"window": n - 4, "sinks": 4} if method == "sink" else {"window": n}


def _window_and_group(n: int, length: int, quarter: int) -> dict[str, int]:
    """Return the least group that the rule of "self_extend" allows, and its window."""
    if length <= n:
        return {"window": quarter, "group": 1}
    for group in range(2, quarter + 1):
        window = quarter // group * group
        if window + (length - window) / group < n / 2:
            return {"window": window, "group": group}
    return {"window": quarter, "group": math.floor((length - quarter) / (n / 2 - quarter)) + 1}
