"""Defects put into the library on purpose: what a slip of the pen would do, in every room.

``old`` stands in ``file`` exactly once; ``tests`` are those that must fail when ``new`` stands there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One defect and the tests, as pytest is given them, that must notice it."""

    kind: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """The kind and the file in a few words."""
        return f"{self.kind}, {self.file.removeprefix('lina/')}"


MUTANTS = (
    Mutant(
        "a scale divided out in one step",
        "lina/_core/array.py",
        "return x / half / (scale / half)",
        "return x / scale",
        ("tests/core/test_array.py", "-k", "balancing"),
    ),
    Mutant(
        "a bound off by one",
        "lina/_core/checks.py",
        "if not 1 <= value <= limit:",
        "if not 0 <= value <= limit:",
        ("tests/linalg/test_truncated_svd.py", "-k", "named or refused or argument"),
    ),
    Mutant(
        "the last rows forgotten",
        "lina/_core/threads.py",
        "bounds = [rows * i // parts for i in range(parts + 1)]",
        "bounds = [rows // parts * i for i in range(parts + 1)]",
        ("tests/core/test_threads.py", "-k", "every_row"),
    ),
    Mutant(
        "a seed without its salt",
        "lina/_core/random.py",
        "np.random.default_rng((seed, _SALT))",
        "np.random.default_rng(seed)",
        ("tests/core/test_random.py",),
    ),
    Mutant(
        "a pickle let in",
        "lina/_core/store.py",
        "np.load(source, allow_pickle=False)",
        "np.load(source, allow_pickle=True)",
        ("tests/robustness/test_data_files.py",),
    ),
    Mutant(
        "a comparison turned",
        "lina/linalg/_pinv/svd.py",
        "keep = sizes > cut",
        "keep = sizes >= cut",
        ("tests/test_hostile.py", "-k", "linalg.pinv"),
    ),
    Mutant(
        "a conjugate forgotten",
        "lina/linalg/_pinv/cod.py",
        "X = adjoint(xp, inner.X) @ adjoint(xp, Q)",
        "X = adjoint(xp, inner.X) @ xp.matrix_transpose(Q)",
        ("tests/linalg/test_pinv.py", "-k", "identities_of_penrose"),
    ),
    Mutant(
        "an eps dropped",
        "lina/linalg/_residual.py",
        "return total + epsilon(A) * (4 * total + 2 * products)",
        "return total",
        ("tests/linalg", "-k", "rounding or certificate"),
    ),
    Mutant(
        "a term of a bound dropped",
        "lina/simplex/_gap.py",
        "return Gap(xp.sum(terms, axis=-1) + xp.abs(off), m[..., 0], reduced)",
        "return Gap(xp.sum(terms, axis=-1), m[..., 0], reduced)",
        ("tests/simplex/test_gap.py",),
    ),
    Mutant(
        "a comparison turned",
        "lina/simplex/_project_capped_simplex.py",
        "inside & (p < high)",
        "inside & (p <= high)",
        ("tests/simplex/test_thresholds.py",),
    ),
    Mutant(
        "a wrong axis",
        "lina/simplex/_rows.py",
        "return _moved(xp, xp.reshape(rows, moved), len(shape) - 1, axis)",
        "return _moved(xp, xp.reshape(rows, moved), 0, axis)",
        ("tests/simplex/test_project_simplex.py",),
    ),
    Mutant(
        "a sign",
        "lina/simplex/_entmax/gradient.py",
        "xp.where(total == 0, 1.0, total) - w",
        "xp.where(total == 0, 1.0, total) + w",
        ("tests/simplex/test_mapping_gradients.py",),
    ),
    Mutant(
        "a sign",
        "lina/hippo/_transition.py",
        "np.where(n[:, None] < n, (-1.0) ** (n[:, None] - n), 1.0)",
        "np.where(n[:, None] < n, (-1.0) ** (n[:, None] + n + 1), 1.0)",
        ("tests/hippo/test_transition.py", "-k", "published"),
    ),
    Mutant(
        "a conjugate forgotten",
        "lina/hippo/_nplr.py",
        "low_rank, b = p @ V.conj()",
        "low_rank, b = p @ V",
        ("tests/hippo/test_nplr.py", "-k", "parts"),
    ),
    Mutant(
        "a sign",
        "lina/ssm/_discretize.py",
        "- 2 * xp.sin(y / 2) ** 2",
        "+ 2 * xp.sin(y / 2) ** 2",
        ("tests/ssm/test_discretize.py", "-k", "diagonal"),
    ),
    Mutant(
        "a conjugate forgotten",
        "lina/ssm/_kernels/diag.py",
        'found = h[name] if name == "dt" else conjugate(xp, h[name])',
        "found = h[name]",
        ("tests/ssm/test_kernel_diag.py",),
    ),
    Mutant(
        "a state one entry short",
        "lina/ssm/_fftconv.py",
        "n = product_length(N, max(L, M), N, real=real)",
        "n = product_length(N, max(L, M) - 1, N - 1, real=real)",
        ("tests/ssm/test_fftconv.py",),
    ),
    Mutant(
        "a comparison turned",
        "lina/rope/_position_maps.py",
        "return np.where(i - j < window, i - j, np.nan)",
        "return np.where(i - j <= window, i - j, np.nan)",
        ("tests/rope/test_position_maps.py",),
    ),
    Mutant(
        "a missing clip",
        "lina/rope/_frequencies.py",
        "return np.clip((turns(theta, length) - slow) / (fast - slow), 0, 1)",
        "return (turns(theta, length) - slow) / (fast - slow)",
        ("tests/rope/test_frequencies.py",),
    ),
    Mutant(
        "a sign",
        "lina/diffusion/_align.py",
        '-math.log(_ratio(high, low, "high", "low"))',
        'math.log(_ratio(high, low, "high", "low"))',
        ("tests/diffusion/test_align.py",),
    ),
    Mutant(
        "half a weight",
        "lina/diffusion/_steps.py",
        "np.divide(h[1:], 2 * h[:-1], out=weight[1:], where=usable)",
        "np.divide(h[1:], h[:-1], out=weight[1:], where=usable)",
        ("tests/diffusion/test_samplers.py",),
    ),
    Mutant(
        "an empty set that is read",
        "lina/torch/attention/merge.py",
        "return out.to(outs[0].dtype), total.masked_fill(empty, -torch.inf)",
        "return out.to(outs[0].dtype), total",
        ("tests/torch/test_attention_parts.py", "-k", "without_keys"),
    ),
    Mutant(
        "a factor forgotten in a derivative",
        "lina/torch/simplex.py",
        "by_p = (1 - excess) * weights / inside * by_weights",
        "by_p = weights / inside * by_weights",
        ("tests/torch/test_simplex.py", "-k", "entmax"),
    ),
    Mutant(
        "a conjugate forgotten",
        "lina/_numba/pinv_small.py",
        "row[j, lane] += np.conj(Q[i, k, lane]) * Q[i, j, lane]",
        "row[j, lane] += Q[i, k, lane] * Q[i, j, lane]",
        ("tests/test_operations.py", "-k", "answer_is_right and linalg.pinv and batch and complex128 and numpy"),
    ),
    Mutant(
        "a fold one step short",
        "lina/_cuda/pinv_small.cu",
        "for (int offset = 16; offset >= columns; offset /= 2) {",
        "for (int offset = 16; offset > columns; offset /= 2) {",
        ("tests/cuda_on_cpu/test_pinv_small.py", "-k", "agrees_with_numpy"),
    ),
    Mutant(
        "a barrier left out",
        "lina/_cuda/entmax.cu",
        "  for (int i = 1; i < blockDim.x / 32; ++i) value = combine(value, shared[i]);\n  __syncthreads();\n",
        "  for (int i = 1; i < blockDim.x / 32; ++i) value = combine(value, shared[i]);\n",
        ("tests/cuda_on_cpu/test_entmax.py", "-k", "order"),
    ),
)
