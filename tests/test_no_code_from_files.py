"""What is read from a file or a socket is data: nothing in the packages could run it.

Loaders that can are searched for in the sources, by their syntax and not as text. Code that a user
names (``use = "module:Class"``) is imported by `pipeline.registry`, and nowhere else by a name that
is not written in the source.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = [
    path
    for package in ("pipeline", "stages", "models")
    for path in sorted((REPOSITORY / package).rglob("*.py"))
]
NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "input"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads"),
    *("shelve.open", "joblib.load", "dill.load", "dill.loads", "cloudpickle.load"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "pandas.read_pickle"),
    *("socket.send_pyobj", "socket.recv_pyobj", "runpy.run_path", "torch.hub.load"),
    *("torch.jit.load", "torch.package.PackageImporter"),
}
SAFE_WITH = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "write_array": ("allow_pickle", False),
    "read_array": ("allow_pickle", False),
    "subprocess.run": ("shell", False),
    "subprocess.Popen": ("shell", False),
}
"""Calls that need an argument to be safe, or that must not say the contrary."""
DEFAULTS = {
    "np.load": False,
    "numpy.load": False,
    "subprocess.run": False,
    "subprocess.Popen": False,
}
OWN_WORKERS = {"cluster.py", "local.py", "remote.py"}
"""In `stages.batch`: what a command and the workers that it started say to each other, by pipes of
its own or by Ray, which pickles by itself and runs what its cluster is given."""
SAFE_LOADER = "stages/filters/calibration.py"


def calls(source: str) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Yield line, name and constant keywords of each call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            keywords = {
                word.arg: word.value.value
                for word in node.keywords
                if word.arg and isinstance(word.value, ast.Constant)
            }
            yield node.lineno, ast.unparse(node.func), keywords


def dangers(source: str) -> list[str]:
    """Calls that could run what they read."""
    found = []
    for line, name, keywords in calls(source):
        last = name.rpartition(".")[2]
        if name in NEVER or (f"socket.{last}" in NEVER and last.endswith("pyobj")):
            found.append(f"{line}: {name}")
        for risky, (word, safe) in SAFE_WITH.items():
            called = name == risky or ("." not in risky and last == risky)
            if called and keywords.get(word, DEFAULTS.get(risky)) is not safe:
                found.append(f"{line}: {name} without {word}={safe}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_that_is_read_can_run(path: Path) -> None:
    found = dangers(path.read_text())
    if path.parent.parts[-2:] == ("stages", "batch") and path.name in OWN_WORKERS:
        assert found
        found = [danger for danger in found if not danger.endswith(": pickle.loads")]
    assert found == []


def test_yaml_is_read_by_the_safe_loader_alone() -> None:
    users = [
        str(path.relative_to(REPOSITORY))
        for path in SOURCES
        if any(name == "yaml.load" for _, name, _ in calls(path.read_text()))
    ]
    assert users == [SAFE_LOADER]
    assert "(yaml.SafeLoader,)" in (REPOSITORY / SAFE_LOADER).read_text()


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "pickle.loads(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "self.socket.recv_pyobj()",
        "subprocess.run(line, shell=True)",
    ],
)
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert len(dangers(source)) == 1


def test_what_is_safe_is_not_found() -> None:
    assert dangers("network.eval()\nre.compile(x)\nnp.load(path)\nsubprocess.run([a])") == []
