"""The test sessions: ``nox`` runs the default ones, which need no GPU; ``nox -s NAME`` any other.

Each session has its own environment in .nox; what could not run is listed at the end, loudly.
"""

import atexit
import os
import shutil
import sys
from pathlib import Path

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
    optional = "--ignore=lina/torch", "--ignore=lina/_dask", *chapters
    session.run("pytest", "--doctest-modules", "lina", *optional, "-q")


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
        "tests/torch/test_bad_input.py",
        "tests/rope/test_huggingface.py",
    )
    session.run("pytest", *PARALLEL, *rooms, *session.posargs)
    session.run("pytest", "--doctest-modules", "lina/torch/huggingface", "-q")


@nox.session
def diffusers(session: nox.Session) -> None:
    """Networks of diffusers here, and guided ones in its loops; ``-- k-diffusion`` adds that package."""
    environment(session, ".", torch_requirement(session), "diffusers>=0.35", *session.posargs)
    session.run("pytest", *PARALLEL, "tests/torch/test_diffusion_adapters.py", "tests/torch/test_diffusion_limits.py")


@nox.session
def jax(session: nox.Session) -> None:
    """The table of operations on jax arrays, and traced calls."""
    environment(session, ".[jax]")
    session.run("pytest", *PARALLEL, "tests/test_operations.py", *session.posargs, env={"LINA_TEST_BACKENDS": "jax"})
    traced = ("tests/core/test_array.py", "tests/ssm/test_tracing.py", "tests/simplex/test_without_float64.py")
    session.run("pytest", *PARALLEL, *traced, "tests/simplex/test_masked_gradients.py")
    session.run("pytest", *PARALLEL, "tests/diffusion", "-k", "jax")
    session.run(
        "pytest", *PARALLEL, "tests/test_jax_table.py", "tests/test_frameworks.py", "tests/simplex/test_gumbel.py"
    )


@nox.session
def frameworks(session: nox.Session) -> None:
    """Called from other libraries, and beside them: the pages of calls and of migration, and the estimators."""
    packages = ("pandas", "diffusers>=0.35", "transformers>=5.24")
    environment(session, ".[sklearn,dask,bench]", torch_requirement(session), *packages)
    files = ("tests/test_frameworks.py", "tests/test_migration.py", "tests/sklearn")
    evidence = ("extrapolation", "idempotent", "upsample")  # trained in small, beside scikit-learn
    session.run("pytest", *PARALLEL, *files, *(f"tests/test_evidence_{each}.py" for each in evidence), *session.posargs)


@nox.session
def dask(session: nox.Session) -> None:
    """The table of operations on dask arrays, and their block algorithms on threads and on two processes."""
    environment(session, ".[dask]", "zarr")
    session.run("pytest", "tests/test_operations.py", *session.posargs, env={"LINA_TEST_BACKENDS": "dask"})
    session.run("pytest", "tests/dask", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """All that needs a CUDA device: tests, memory and race checks, tables.

    For an older driver ``-- cuda12 --extra-index-url URL`` with an index that has torch for CUDA 12.
    """
    extra, *index = session.posargs or ["cuda13"]
    environment(session, f".[{extra}]", "torch>=2.9", "scikit-learn>=1.5", *index)
    session.run("pytest", "-m", "gpu", "tests")
    sanitizer = shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ["PATH"], "/usr/local/cuda/bin"]))
    if sanitizer is None:
        SKIPPED.append("the CUDA kernels under compute-sanitizer, because it is not found")
    for tool in ("memcheck", "racecheck") if sanitizer else ():
        launches = "python", "-m", "benchmarks.gpu.launches"
        session.run(sanitizer, "--tool", tool, "--error-exitcode", "1", *launches, external=True)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(os.cpu_count()))
    for room in ("linalg", "simplex", "hippo", "ssm", "rope"):
        session.run("python", "-m", "benchmarks", room, "--device", "cuda", env=threads)


@nox.session
def mutants(session: nox.Session) -> None:
    """Defects put in one after the other, each of which its tests must catch; ``-- 3 5`` chooses from the list."""
    environment(session, ".", torch_requirement(session))
    session.run("python", "-m", "tests.robustness.mutants", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing of arguments and of the solvers of the simplex, five minutes each; ``-- 60`` seconds."""
    environment(session, ".", "atheris>=3")
    seconds = session.posargs[0] if session.posargs else "300"
    for target in ("fuzz_arguments", "fuzz_simplex"):
        session.run("python", "-m", "tests.robustness.fuzz", target, seconds)


@nox.session
def promises(session: nox.Session) -> None:
    """Count the figures of docs/promises.rst, and fail where one of them breaks a promise."""
    environment(session, ".", torch_requirement(session))
    session.run("python", "-m", "tests.robustness.promises")


@nox.session(python=["3.11", "3.12", "3.13"])
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it alone, and use it without torch, with a cold and with a warm cache of kernels."""
    session.install("build")
    wheels = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", wheels, ".")
    # anew and from here only, also where an environment is used again or an index has the name; then what it needs
    session.install("lina-array", "--find-links", wheels, "--no-index", "--no-deps", "--force-reinstall")
    session.install("lina-array")
    script = str(Path(__file__).parent / "tests" / "robustness" / "installed.py")
    session.chdir(wheels)
    session.run("python", script, env={"NUMBA_CACHE_DIR": f"{wheels}/kernels", "OMP_NUM_THREADS": "1"})
    session.run("pip", "check")


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
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(os.cpu_count()))
    session.run("python", "-m", "benchmarks", *(session.posargs or ["linalg"]), env=threads)


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
