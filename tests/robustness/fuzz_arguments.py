"""Any call of any function ends in a result, or in an error of the named kinds that names an argument."""

import inspect
import re
import typing
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import lina
from lina._core.errors import GradientError
from tests.robustness.draws import Draws

ROOMS = ("linalg", "simplex", "hippo", "ssm", "rope", "diffusion")
ERRORS = (TypeError, ValueError, OverflowError, GradientError)
# Files are another matter. Others make as many numbers as they are told to: 2^70 of them end in other errors.
LEFT_OUT = {"load", "save"}
# What takes a function, a system or a schedule is called by the other tests.
NEEDED = ("objective", "system", "schedule", "model", "F", "scalings")
FIXED = ("xp", "dtype", "callback")
WORDS = {
    "method": (
        "auto",
        "svd",
        "gram",
        "krylov",
        "cpqr",
        "zoh",
        "bilinear",
        "gbt",
        "logbilinear",
        "active",
        "exact",
        "subset",
    ),
    "measure": ("legs", "legt", "lagt", "glagt", "fout", "foud", "fourier_legs"),
    "scaling": ("paper", "orthonormal", "lmu"),
    "norm": ("fro", "2"),
    "set": ("simplex", "l1_ball"),
    "reduction": ("none", "mean", "sum"),
    "mapping": ("softmax", "sparsemax", "entmax"),
    "noise": ("gaussian", "gumbel", "uniform"),
    "regularizer": ("quadratic", "entropy"),
    "kernel": ("gaussian", "precomputed", "laplace"),
    "criterion": ("D", "A"),
    "select": ("topnorm", "sample", "greedy", "omp"),
    "weights": ("auto", "unbiased"),
    "core": ("stable", "best"),
    "kind": ("gaussian", "sparse_sign", "srft"),
    "unstable": ("warn", "raise", "ignore"),
    "layout": ("half", "interleaved"),
    "source": ("eps", "x0", "v"),
    "target": ("eps", "x0", "v"),
    "beyond": ("error", "end"),
    "time_map": ("linear", "exponential"),
}


@cache
def functions() -> dict[str, tuple[Callable[..., Any], tuple[inspect.Parameter, ...], dict[str, Any]]]:
    """Return the public functions by name, with their parameters and the types of these."""
    found = {}
    for room in ROOMS:
        module = getattr(lina, room)
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.isfunction(function) or name in LEFT_OUT:
                continue
            parameters = tuple(inspect.signature(function).parameters.values())
            if not {each.name for each in parameters} & set(NEEDED):
                found[f"{room}.{name}"] = function, parameters, typing.get_type_hints(function)
    return found


def argument(draws: Draws, name: str, kind: Any) -> Any:
    """Return a value for a parameter, most often one of the right kind."""
    kinds = set(typing.get_args(kind)) or {kind}
    if draws.once_in(12) and bool not in kinds:  # whatever Python takes for true is a flag
        return draws.nonsense()
    if name == "rng":
        return draws.pick((0, None, 3, np.random.default_rng(0)))
    if bool in kinds:
        return bool(draws.below(2))
    if str in kinds and name in WORDS:
        return draws.pick(WORDS[name])
    if int in kinds:
        return draws.count()
    if float in kinds or (name in ("radius", "temperature", "alpha", "dt", "length") and draws.below(2)):
        return draws.number()
    return draws.array()


def call_of(draws: Draws) -> tuple[str, dict[str, Any], list[Any]]:
    """Return the name of a function, its keywords, and the values of its ``*`` parameter."""
    names = sorted(functions())
    name = names[int.from_bytes(draws.bytes(2)) % len(names)]
    _, parameters, hints = functions()[name]
    options, more = {}, []
    for each in parameters:
        if each.kind is each.VAR_POSITIONAL:
            more = [argument(draws, each.name, hints.get(each.name)) for _ in range(draws.below(4))]
        elif each.kind is not each.VAR_KEYWORD and each.name not in FIXED:
            needed = each.default is each.empty
            if needed or draws.once_in(3):
                options[each.name] = argument(draws, each.name, hints.get(each.name))
    return name, options, more


def bits(value: Any) -> Any:
    """Return what shows that an argument was changed."""
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


def run(data: bytes) -> str:
    """Make the call that these bytes say, and return how it ended; raise AssertionError where it must not end so."""
    draws = Draws(data)
    name, options, more = call_of(draws)
    before = [bits(value) for value in (*more, *options.values())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", np.exceptions.ComplexWarning)  # a part of an argument would be lost
        try:
            functions()[name][0](*more, **options)
            ended = "result"
        except ERRORS as error:
            ended = type(error).__name__
            named = any(re.search(rf"\b{each.name}\b", str(error)) for each in functions()[name][1])
            if not named:
                raise AssertionError(f"{name}(*{more}, **{options}) names no argument: {error!r}") from error
    if not any(isinstance(value, np.random.Generator) for value in options.values()):
        assert before == [bits(value) for value in (*more, *options.values())], f"{name} changed an argument"
    return ended
