"""The test sessions: ``nox`` runs the default ones, which need no GPU; ``nox -s NAME`` any other.

Each session has its own environment in .nox; what could not run is listed at the end, loudly.
"""

import atexit
import shutil
import sys

import nox

nox.options.sessions = ["tests", "cuda_text", "torch", "lint"]
nox.options.default_venv_backend = "venv"  # pip alone finds a local CPU build of torch
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False

SKIPPED: list[str] = []
PARALLEL = ("-n", "auto")  # one process per CPU, each with one thread of BLAS


@atexit.register
def report_what_was_skipped() -> None:
    for line in SKIPPED:
        print(f"NOT RUN: {line}", file=sys.stderr)


def environment(session: nox.Session, *packages: str, groups: tuple[str, ...] = ("test",)) -> None:
    """Install lina itself and what the session needs; compiled kernels are cached inside the environment."""
    dependencies = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups)
    session.install(".", *dependencies, *packages)
    session.env["NUMBA_CACHE_DIR"] = f"{session.virtualenv.location}/numba"
    session.env["OPENBLAS_NUM_THREADS"] = session.env["OMP_NUM_THREADS"] = "1"


def torch_requirement(session: nox.Session) -> str:
    """Return a requirement that brings no CUDA packages where there is a CPU build on disk."""
    version = session.run("python", "-c", "import sys; print(*sys.version_info[:2], sep='.')", silent=True).strip()
    return "torch==2.13.0" if version == "3.11" else "torch>=2.6"


@nox.session
def tests(session: nox.Session) -> None:
    """Numeric tests on numpy and the strict array API, doctests, the command line, conventions."""
    environment(session, ".[tour]")
    session.run("python", "-m", "lina", "warmup")
    session.run("pytest", *PARALLEL, "-m", "not cuda_text and not torch and not gpu", *session.posargs)
    chapters = (f"--ignore-glob=lina/_tour/{name}*" for name in ("models", "extrapolation", "diffusion"))
    without_torch = "--ignore=lina/torch", *chapters
    session.run("pytest", "--doctest-modules", "lina", *without_torch, "-q")


@nox.session
def cuda_text(session: nox.Session) -> None:
    """The CUDA texts on the CPU through g++ and through NVRTC for three architectures."""
    environment(session, "nvidia-cuda-nvrtc")
    if shutil.which("g++") is None:
        SKIPPED.append("the CUDA texts on the CPU, because there is no g++")
    session.run("pytest", *PARALLEL, "-m", "cuda_text", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """The torch room, and the table of operations on torch tensors, on the CPU."""
    environment(session, ".[tour]", torch_requirement(session))
    session.run("pytest", *PARALLEL, "-m", "torch", *session.posargs)
    session.run("pytest", *PARALLEL, "tests/test_operations.py", "-q", env={"LINA_TEST_BACKENDS": "torch"})
    session.run("pytest", "--doctest-modules", "lina/torch", "--ignore=lina/torch/huggingface", "-q")


@nox.session
def transformers(session: nox.Session) -> None:
    """Models of transformers, extended, and the numbers of its rotary embeddings to the bit."""
    environment(session, ".", torch_requirement(session), "transformers>=5.24")
    rooms = (
        "tests/torch/test_huggingface.py",
        "tests/torch/test_huggingface_limits.py",
        "tests/torch/test_huggingface_caches.py",
        "tests/rope/test_huggingface.py",
    )
    session.run("pytest", *PARALLEL, *rooms, *session.posargs)
    session.run("pytest", "--doctest-modules", "lina/torch/huggingface", "-q")


@nox.session
def jax(session: nox.Session) -> None:
    """The table of operations on jax arrays, and traced calls."""
    environment(session, ".[jax]")
    session.run("pytest", *PARALLEL, "tests/test_operations.py", *session.posargs, env={"LINA_TEST_BACKENDS": "jax"})
    traced = ("tests/core/test_array.py", "tests/ssm/test_tracing.py", "tests/simplex/test_without_float64.py")
    session.run("pytest", *PARALLEL, *traced, "tests/simplex/test_masked_gradients.py")
    session.run("pytest", *PARALLEL, "tests/diffusion", "-k", "jax")


@nox.session
def dask(session: nox.Session) -> None:
    """The table of operations on dask arrays."""
    environment(session, ".[dask]")
    session.run("pytest", "tests/test_operations.py", *session.posargs, env={"LINA_TEST_BACKENDS": "dask"})


@nox.session
def gpu(session: nox.Session) -> None:
    """What needs a CUDA device; ``nox -s gpu -- cuda12`` for an older driver."""
    extra = session.posargs[0] if session.posargs else "cuda13"
    environment(session, f".[{extra}]")
    session.run("pytest", "-m", "gpu", "tests")


@nox.session
def lint(session: nox.Session) -> None:
    """Format, rules and types."""
    dependencies = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint")
    session.install(*dependencies, "numpy", "array-api-compat")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, gallery and all, with warnings as errors."""
    environment(session, ".[docs]", torch_requirement(session), groups=())
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """Side-by-side tables: ``nox -s bench -- linalg``."""
    environment(session, ".[bench]", torch_requirement(session), groups=())
    session.run("python", "-m", "benchmarks", *(session.posargs or ["linalg"]))


@nox.session
def build(session: nox.Session) -> None:
    """Build a wheel, install it in a fresh environment, and run the numeric part of the tour there."""
    session.install("build")
    wheels = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", wheels, ".")
    session.install("--find-links", wheels, "--no-index", "--no-deps", "--force-reinstall", "lina-array")
    session.install("lina-array", "--find-links", wheels)
    session.chdir(wheels)
    session.run("python", "-m", "lina", "tour", "--numeric")
    session.run("pip", "check")
