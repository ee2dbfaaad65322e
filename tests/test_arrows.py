"""The repository's imports in, a verdict out: `engine -> codegen -> ir -> numpy`, and no circles.

The sources are parsed, not imported, so a broken arrow is named even where it would never run.
"""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ir", "codegen", "engine")
ALLOWED = {
    "ir": {"numpy", "ml_dtypes", "ir"},
    "codegen": {"numpy", "numba", "llvmlite", "platformdirs", "ir", "codegen"},
    "engine": {
        "numpy",
        "click",
        "rich",
        "safetensors",
        "platformdirs",
        "ir",
        "codegen",
        "engine",
        "matplotlib",
    },
}
RIVALS = {"torch", "jax"}
COMPILERS = {"numba", "llvmlite"}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(node: ast.AST, types_too: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import below `node`; those under `if TYPE_CHECKING:` only with `types_too`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for inner in child.body if types_too else child.orelse:
                yield from statements(ast.Module([inner], []), types_too)
        else:
            yield from statements(child, types_too)


def imports(path: Path, types_too: bool = True) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """(line, absolute module, names taken from it) for every import of a file."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in statements(ast.parse(path.read_text("utf-8"), str(path)), types_too):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, ()) for alias in node.names)
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield node.lineno, module, tuple(alias.name for alias in node.names)


def roots(path: Path) -> Iterator[tuple[str, str]]:
    """("file:line", root package) for every import of a file that leaves the stdlib."""
    for line, module, _ in imports(path):
        root = module.split(".")[0]
        if root not in sys.stdlib_module_names:
            yield f"{path.relative_to(ROOT)}:{line}", root


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_of_package(package: str) -> None:
    assert sources(package), f"{package}/ holds no sources"
    found = [hit for path in sources(package) for hit in roots(path)]
    wrong = [f"{where} imports {root}" for where, root in found if root not in ALLOWED[package]]
    assert not wrong, "\n".join(wrong)


def test_examples_import_engine_only() -> None:
    for path in sources("examples"):
        teaches_compiler = path.name == "anatomy.py"
        banned = COMPILERS | RIVALS | (set() if teaches_compiler else {"ir", "codegen"})
        wrong = [f"{where} imports {root}" for where, root in roots(path) if root in banned]
        assert not wrong, "\n".join(wrong)


def test_llvmlite_ir_is_aliased() -> None:
    """`ir` is our own package, so llvmlite's goes by another name: `... import ir as llvm_ir`."""
    for path in sources(*PACKAGES, "tests", "benchmarks", "examples"):
        for node in statements(ast.parse(path.read_text("utf-8"), str(path)), types_too=True):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            for alias in node.names:
                full = f"{module}.{alias.name}" if module else alias.name
                aliased = alias.asname not in {None, "ir"}
                assert full != "llvmlite.ir" or aliased, f"{path}:{node.lineno}"


def test_no_circles() -> None:
    """Late imports count too: they are no way around a circle."""
    modules = {module_name(path): path for path in sources(*PACKAGES)}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for _, module, names in imports(path, types_too=False):
            for item in names or ("",):
                inner = f"{module}.{item}"
                graph[name].add(inner if inner in modules else module)
        graph[name] &= modules.keys() - {name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_engine_starts_without_numba() -> None:
    """Importing numba takes up to half a second, which a warm start must not pay."""
    probe = "import sys, engine; engine.Tensor; sys.exit('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr or "`import engine` imports numba"
