"""The parts of `make wheels` that need no wheel: how it uses the package, and what an sdist has."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pyslab
from tests.utils import REPO

TOOLS = REPO / "tools" / "wheels"
SMOKE = TOOLS / "smoke.py"


def test_the_installed_package_passes_the_check_of_wheels() -> None:
    """What is run in a fresh environment works in this one."""
    done = subprocess.run([sys.executable, SMOKE], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert done.stdout.endswith("7 parts work\n")


def test_a_compiler_on_path_is_noticed(tmp_path: Path) -> None:
    """The proof that there is no compiler can fail."""
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    done = subprocess.run(
        [sys.executable, SMOKE, "--no-compiler"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 1 == done.returncode
    assert "['gcc']" in done.stderr


def test_what_is_compiled_is_known_to_those_who_judge_wheels() -> None:
    """A library or program that objects.py does not name is refused as a module without init."""
    package = Path(pyslab.__file__).parent
    compiled = [
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and b"\x7fELF" == path.read_bytes()[:4] and ".cpython-" not in path.name
    ]
    assert len(compiled) >= 3
    known = (TOOLS / "objects.py").read_text(encoding="utf-8")
    assert [] == [name for name in compiled if f'"{name}"' not in known]


def test_the_sdist_has_the_sources_and_no_build(tmp_path: Path) -> None:
    """Patterns of pyproject.toml that match names anywhere once took environments along."""
    command = (
        "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", command, tmp_path], cwd=REPO, check=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"CMakeLists.txt", "csrc/include/pyslab.h", "cmake/pyslab.pc.in"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/"))]


def test_the_compiler_finds_the_headers_of_a_python_of_debian(tmp_path: Path) -> None:
    """Its pyconfig.h includes another by its folder in /usr/include; the path may have spaces."""
    work = tmp_path / "a work folder"
    work.mkdir()
    zig = work / "zig"
    zig.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    zig.chmod(0o755)
    program = f"""if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(TOOLS)!r})
        import compiler
        from places import Place
        work = Path({str(work)!r})
        print(compiler.write(Place("3.14", "python3.14", work), work / "zig"))
    """
    script = subprocess.check_output([sys.executable, "-c", program], text=True).strip()
    asked = subprocess.check_output([script, "-c", "a b.c"], text=True).splitlines()
    assert ["cc", "-target"] == asked[:2]
    assert ["-c", "a b.c"] == asked[-2:]
    folder = Path(asked[asked.index("-idirafter") + 1])
    (link,) = folder.iterdir()
    assert link.name.endswith("-linux-gnu")
    assert Path("/usr/include") / link.name == link.readlink()


def kept_python(folder: Path, cflags: str) -> str:
    """Write a program that says it is Python 3.13t compiled with these flags; return its path."""
    python = folder / "bin" / "python3.13t"
    python.parent.mkdir(parents=True)
    variables = f"{{'Py_GIL_DISABLED': 1, 'CFLAGS': '{cflags}'}}"
    told = f"import sys, sysconfig\nsysconfig.get_config_vars().update({variables})"
    told += "\nsys.version_info = (3, 13, 9)"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -c "{told}\n$3"\n')
    python.chmod(0o755)
    return str(python)


def test_a_python_with_a_sanitizer_makes_no_wheels(tmp_path: Path) -> None:
    """Its folder lies beside that of the same version without one, and comes first here."""
    with_one, without = tmp_path / "kept" / "3.13t-tsan", tmp_path / "kept" / "3.13t-without"
    kept_python(with_one, "-g -fsanitize=thread -O3")
    program = f"""if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(TOOLS)!r})
        import places
        print([each.python for each in places.find(Path({str(tmp_path)!r})).values()])
    """
    environment = {"PYSLAB_PYTHONS": str(tmp_path / "kept"), "PYENV_ROOT": str(tmp_path)}

    def found() -> str:
        command = [sys.executable, "-c", program]
        return subprocess.check_output(command, env=environment, text=True).strip()

    assert "[]" == found()
    assert str([kept_python(without, "-g -O3")]) == found()


def test_pythons_without_a_gil_get_wheels() -> None:
    """One of each version that has such a build, because the project's classifiers say so."""
    program = f"""if True:
        import sys
        sys.path.insert(0, {str(TOOLS)!r})
        import places
        from importlib.metadata import metadata
        every = metadata("pyslab-alloc").get_all("Classifier")
        print(*places.supported({{"classifiers": every}}))
        print(*places.supported({{"classifiers": [each for each in every if "Free" not in each]}}))
    """
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    all_of_them, with_gil = (line.split() for line in told.splitlines())
    assert {"3.10", "3.13", "3.15"} <= set(with_gil)
    assert ["3.13t", "3.14t", "3.15t"] == all_of_them[len(with_gil) :]
