"""The architecture: imports point one way and never in a circle, and light verbs stay light."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import greenbench

PACKAGE = Path(greenbench.__file__).parent

MAP = PACKAGE.parent / "docs" / "architecture.md"


def layers_of_the_map() -> dict[str, int]:
    """The layer of each package, from the table in docs/architecture.md: the page and the code cannot drift apart."""
    rows = re.findall(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+) \|", MAP.read_text(encoding="utf-8"), flags=re.MULTILINE)
    layers = {name: int(layer) for layer, names in rows for name in re.findall(r"`(\w+)`", names)}
    return {**layers, "__init__": -1, "__main__": max(layers.values()) + 1}


LAYER_OF = layers_of_the_map()
WITHOUT_TORCH = (
    "power",
    "metering",
    "audio",
    "corpora",
    "carbon",
    "report",
    "check",
    "compare",
    "stats",
    "records",
    "config",
    "cards",
    "exports",
)


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "_share" not in path.parts)


def module_name(path: Path) -> str:
    return ".".join(("greenbench", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def imports_of(path: Path) -> set[str]:
    """All modules imported anywhere in a file, also inside functions; those only for type checking left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in names}
    return found


def test_every_module_belongs_to_a_package_of_the_map() -> None:
    unknown = sorted({package_of(path) for path in SOURCES} - set(LAYER_OF))
    assert not unknown, f"packages without a layer: {unknown}; place them in the table of docs/architecture.md"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_down(path: Path) -> None:
    package = package_of(path)
    for module in imports_of(path):
        parts = module.split(".")
        if parts[0] != "greenbench" or len(parts) < 2 or parts[1] not in LAYER_OF or package in (parts[1], "__init__"):
            continue
        assert LAYER_OF[parts[1]] < LAYER_OF[package], f"{path.name} ({package}) imports {module}: that arrow points up"


def test_power_knows_neither_carbon_nor_config_nor_torch() -> None:
    """Readings and joules serve anyone who trains anything; grams and suites are others' business."""
    known = {module for path in SOURCES if package_of(path) == "power" for module in imports_of(path)}
    packages = {module.split(".")[1] for module in known if module.startswith("greenbench.")}
    assert packages <= {"power", "errors", "units", "resources", "schema"}
    assert not {module for module in known if module.split(".")[0] in ("torch", "pandas", "matplotlib", "transformers")}


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {name: {m for m in imports_of(path) if m in MODULES} for name, path in MODULES.items()}
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail("a circle of imports: " + " -> ".join(error.args[1]))


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_packages_for_reading_and_metering_never_load_torch(package: str) -> None:
    modules = [path for path in SOURCES if package_of(path) == package]
    names = [
        ".".join(("greenbench", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in modules
        if path.name != "__main__.py"
    ]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nsys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_neither_torch_nor_pandas_nor_matplotlib() -> None:
    code = (
        "import sys\nfrom greenbench.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = [m for m in ('torch', 'pandas', 'matplotlib', 'transformers', 'sklearn', 'scipy', 'numpy') "
        "if m in sys.modules]\nprint(heavy, file=sys.stderr)\nsys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_what_the_package_says() -> None:
    assert dir(greenbench) == sorted(greenbench.__all__)
    for name in greenbench.__all__:
        assert getattr(greenbench, name) is not None
    assert not hasattr(greenbench, "Meters")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "matplotlib", "numpy", "rich")
    code = f"import greenbench, sys\nsys.exit(' '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
