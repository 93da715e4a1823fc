"""Who may import whom, what a light command may load, and what a module gives out."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FORBIDDEN = {"models": {"pipeline", "stages"}, "pipeline": {"models", "stages"}}
HEAVY = ("torch", "numba", "tonic", "h5py", "lightning", "cv2", "ray")
GRAPH = """
[[stage]]
name = "camera"
use = "worker_stages:Noise"
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""


def files(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level packages imported anywhere in a file, within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import from the package's own name"
            yield str(node.module).partition(".")[0]


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_packages_stay_apart(package: str) -> None:
    assert files(package)
    wrong = {
        str(path.relative_to(REPOSITORY)): both
        for path in files(package)
        if (both := FORBIDDEN[package].intersection(imported(path)))
    }
    assert wrong == {}


def loads(program: str, folder: Path) -> list[str]:
    """Heavy modules that a program has loaded when it is over; it must end without an error."""
    program = (
        f"import sys\nsys.path.append({str(REPOSITORY / 'tests' / 'support')!r})\n"
        f"code = 0\ntry:\n    {program}\nexcept SystemExit as end:\n    code = end.code\n"
        f"print('LOADED', *[name for name in {HEAVY} if name in sys.modules])\nsys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("LOADED")[2].split()


@pytest.mark.parametrize(
    "program",
    [
        "import pipeline",
        "import pipeline.cli",
        "import pipeline.run.runner, pipeline.run.worker, pipeline.offline",
        "sys.argv = ['pipeline', '--help']; from pipeline.cli import main; main()",
        "sys.argv = ['pipeline', 'stages']; from pipeline.cli import main; main()",
        "sys.argv = ['pipeline', 'stages', 'snn']; from pipeline.cli import main; main()",
        "sys.argv = ['pipeline', 'check', 'p.toml']; from pipeline.cli import main; main()",
    ],
    ids=["pipeline", "cli", "runtime", "help", "stages", "stage", "check"],
)
def test_light_commands_load_nothing_heavy(program: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(GRAPH)
    assert loads(program, tmp_path) == []


def modules() -> list[str]:
    names = []
    for path in files("pipeline"):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        if parts[-1] != "__main__":
            names.append(".".join(part for part in parts if part != "__init__"))
    return names


def defined(module: str) -> set[str]:
    """Public names that a module defines at its top, type variables apart."""
    path = importlib.import_module(module).__file__
    assert path is not None
    names: set[str] = set()
    for node in ast.parse(Path(path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            value = node.value
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar":
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", modules())
def test_a_module_lists_what_it_gives_out(module: str) -> None:
    found = importlib.import_module(module)
    public = defined(module)
    listed = list(getattr(found, "__all__", []))
    assert [name for name in listed if not hasattr(found, name)] == []
    assert len(listed) == len(set(listed))
    assert public <= set(listed), "defined, but not in __all__"
