"""Each line of the tables of docs/coming_from.rst: what is typed there returns what is typed here."""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lina.diffusion
import lina.hippo
import lina.linalg
import lina.rope
import lina.simplex
import lina.ssm
from tests.linalg.matrices import with_spectrum
from tests.reference import s4

PAGE = Path(__file__).parents[1] / "docs" / "coming_from.rst"


def _sections() -> dict[str, list[tuple[str, str]]]:
    """Return the pairs of code (there, here) under each heading of the page."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^(.+)\n-{3,}\n", text, flags=re.MULTILINE)[1:]
    row = re.compile(r"^   \* - ``(.+?)``\n     - ``(.+?)``$", re.MULTILINE)
    found = {name: row.findall(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return {name: rows for name, rows in found.items() if rows}


SECTIONS = _sections()


def names_of(*rooms: Any) -> dict[str, Any]:
    return {name: getattr(room, name) for room in rooms for name in room.__all__}


def slsqp(Q: np.ndarray) -> np.ndarray:
    """Return the probabilities of least w Q w / 2 by scipy, which is told how."""
    from scipy.optimize import minimize

    n = len(Q)
    sums = {"type": "eq", "fun": lambda w: w.sum() - 1}
    options = {"bounds": [(0, 1)] * n, "constraints": [sums], "options": {"ftol": 1e-14, "maxiter": 1000}}
    return minimize(lambda w: w @ Q @ w / 2, np.full(n, 1 / n), jac=lambda w: Q @ w, method="SLSQP", **options).x


def scipy_names() -> dict[str, Any]:
    import scipy.linalg.interpolative
    import scipy.signal
    import scipy.sparse.linalg

    rng = np.random.default_rng(0)
    A, G = with_spectrum(rng, 60, 40, np.geomspace(1, 1e-4, 40), "float64"), rng.standard_normal((6, 6))
    sparse = rng.standard_normal((300, 200)) * (rng.random((300, 200)) < 0.05)
    filters = {"num": np.array([0.3, -0.2, 0.1]), "den": np.array([-0.5, 0.2, 0.1]), "u": rng.standard_normal(50)}
    system = {"F": -np.eye(3) + np.triu(np.ones((3, 3)), 1), "G": rng.standard_normal((3, 1)), "H": np.ones((1, 3))}
    modules = {"np": np, "scipy": scipy, "slsqp": slsqp}
    if find_spec("control"):
        modules["control"] = import_module("control")
    matrices = {"A": A, "S": G + G.T, "Q": G @ G.T, "M": scipy.sparse.csr_array(sparse)}
    vectors = {"b": rng.standard_normal(60), "x": rng.standard_normal((4, 6)), "omega": np.linspace(0.1, 3, 7)}
    rooms = names_of(lina.linalg, lina.simplex, lina.ssm)
    return {**rooms, **modules, **matrices, **vectors, **filters, **system}


def sklearn_names() -> dict[str, Any]:
    import sklearn.decomposition
    import sklearn.linear_model
    import sklearn.metrics
    import sklearn.utils.extmath

    import lina.sklearn

    rng = np.random.default_rng(0)
    X = with_spectrum(rng, 60, 30, 0.7 ** np.arange(30), "float64") + 0.01
    data = {"X": X, "y": rng.standard_normal(60), "x": rng.standard_normal((8, 3)), "t": np.arange(8) % 3}
    return {**names_of(lina.linalg, lina.simplex, lina.sklearn), "sklearn": sklearn, **data}


def entmax_names() -> dict[str, Any]:
    import torch

    peer, ours = import_module("entmax"), names_of(lina.simplex)

    class Both:  # one name stands for the package there and for the function here
        __call__ = staticmethod(ours["entmax"])

        def __getattr__(self, name: str) -> Any:
            return getattr(peer, name)

    z = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 7)))
    return {**ours, "entmax": Both(), "z": z, "t": torch.arange(5)}


def s4_names() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    Lambda, P, B, C = -0.5 + 3j * np.arange(1, 5), *(rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4)))
    signals = {"u": rng.standard_normal((2, 32)), "k": rng.standard_normal((2, 32)), "omega": 1j * np.arange(0.5, 9.0)}
    rooms = names_of(lina.hippo, lina.ssm)
    return {**rooms, "np": np, "s4": s4, "Lambda": Lambda, "P": 0.3 * P, "B": B, "C": C, **signals}


def transformers_names() -> dict[str, Any]:
    import torch
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 1024}
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=4096, rope_parameters=rope)
    positions, inv_freq = torch.arange(20), torch.tensor(lina.rope.RotaryScaling.from_hf(config).inv_freq())
    angles = torch.cat([positions[:, None] * inv_freq] * 2, dim=-1)[None].double()
    cos_sin = angles.cos(), angles.sin()
    theirs = {"ROPE_INIT_FUNCTIONS": ROPE_INIT_FUNCTIONS, "apply_rotary_pos_emb": apply_rotary_pos_emb}
    data = {"q": torch.randn(2, 4, 20, 16, dtype=torch.float64), "cos_sin": cos_sin, "positions": positions}
    return {**names_of(lina.rope), **theirs, **data, "config": config, "inv_freq": inv_freq}


def diffusers_names() -> dict[str, Any]:
    import torch
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(10)
    x0, eps = torch.randn(2, 2, 1, 8, 8, dtype=torch.float64)
    alpha, sigma = lina.diffusion.discrete(scheduler.alphas_cumprod).alpha_sigma(400 / 999)
    mixed = {"alpha": alpha, "sigma": sigma, "x": float(alpha) * x0 + float(sigma) * eps}
    return {**names_of(lina.diffusion), "torch": torch, "scheduler": scheduler, "x0": x0, "eps": eps, **mixed}


# what a section needs, its names, and how far its sides may differ: rounding, or what the other side converges to
NAMES: dict[str, tuple[tuple[str, ...], Callable[[], dict[str, Any]], float]] = {
    "scipy and numpy": (("scipy",), scipy_names, 1e-7),
    "scikit-learn": (("sklearn",), sklearn_names, 1e-7),
    "entmax": (("torch", "entmax"), entmax_names, 1e-7),
    "state-spaces/s4": ((), s4_names, 1e-9),
    "transformers": (("torch", "transformers"), transformers_names, 1e-6),
    "diffusers": (("torch", "diffusers"), diffusers_names, 1e-6),
}
ROWS = [(name, *row) for name, rows in SECTIONS.items() for row in rows]
MARKS = {name: [pytest.mark.torch] if "torch" in needed else [] for name, (needed, _, _) in NAMES.items()}
cached = {name: cache(make) for name, (_, make, _) in NAMES.items()}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers
@pytest.mark.parametrize(
    ("section", "there", "here"), [pytest.param(*row, marks=MARKS[row[0]], id=row[1]) for row in ROWS]
)
def test_both_sides_return_the_same(section, there, here):
    needed, _, tolerance = NAMES[section]
    for module in (*needed, *(["control"] if "control." in there else [])):
        pytest.importorskip(module, reason=f"NOT TESTED: the migration from {section}, because there is no {module}")
    names = cached[section]()
    wanted, found = (np.asarray(eval(code, dict(names))) for code in (there, here))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.max(np.abs(wanted)))


def test_every_section_has_its_names_and_lines():
    assert list(SECTIONS) == list(NAMES)
    assert all(len(rows) >= 3 for rows in SECTIONS.values())
    assert PAGE.read_text().count("\n   * - ") == len(ROWS) + len(SECTIONS)  # no line escapes, but the headers


def test_the_aliases_run():
    names: dict[str, Any] = {}
    for line in re.findall(r"^>>> (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        exec(line, names)
    np.testing.assert_array_equal(names["entmax15"]([1.0, 0.5]), lina.simplex.entmax([1.0, 0.5], 1.5))
    assert SimpleNamespace(**names).pca(np.eye(4), 2).mean is not None
