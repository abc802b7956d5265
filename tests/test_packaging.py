"""
Tests of what is shipped: the wheel and the sdist are built, installed into an empty environment, and asked to run.

The environment sees the dependencies of the one that runs the tests, but neither its Siger nor the checkout.
"""

from __future__ import annotations

import ast
import atexit
import functools
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

import siger

CHECKOUT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv", ".tools", ".hypothesis", "_trial_temp*", "build", "dist", "data", "*.egg-info",
    "__pycache__", "*.so", "dropin.cache", "config.yaml",
)  # fmt: skip
TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
TWIST = "import sys; sys.argv[0] = 'twist'; from twisted.application.twist._twist import Twist; Twist.main()"


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run a program in an environment without this process's Python paths, and keep what it prints.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SIGER_"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def must(*command: str | Path, cwd: Path, **environment: str) -> str:
    """
    Run a program that has to succeed.

    @return: its standard output.
    """
    done = run(*command, cwd=cwd, **environment)
    if done.returncode:
        raise AssertionError(f"{command} exited with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def only(directory: Path, pattern: str) -> Path:
    """
    Find the one file that matches.
    """
    (found,) = directory.glob(pattern)
    return found


class Built:
    """
    Everything that can be built from the checkout, built once for all tests here.

    @ivar wheel: the wheel built from a copy of the checkout.
    @ivar sdist: the source distribution built from it.
    @ivar rebuilt: the wheel built from the source distribution.
    """

    _instance: ClassVar[Built | None] = None

    def __init__(self, room: Path) -> None:
        self.room = room
        source = room / "source"
        shutil.copytree(CHECKOUT, source, ignore=NOT_SOURCE)
        must(sys.executable, "setup.py", "-q", "sdist", "-d", room / "sdist", cwd=source)
        self.sdist = only(room / "sdist", "*.tar.gz")
        self.wheel = self._build_wheel(source, "wheel")
        self.rebuilt = self._build_wheel(self.sdist, "rebuilt")

    def _build_wheel(self, source: Path, name: str) -> Path:
        flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(self.room / name)]
        must(sys.executable, "-m", "pip", "wheel", *flags, source, cwd=self.room, SIGER_COMPILE="0")
        return only(self.room / name, "*.whl")

    @classmethod
    def get(cls) -> Built:
        """
        Build, the first time.
        """
        if cls._instance is None:
            room = Path(tempfile.mkdtemp(prefix="siger-packaging-"))
            atexit.register(shutil.rmtree, room)
            cls._instance = cls(room)
        return cls._instance


def link_dependencies(farm: Path) -> None:
    """
    Link into C{farm} everything that is installed where this test runs, but for Siger and its plugin.
    """
    installed = Path(sysconfig.get_path("purelib"))
    plugins = Path("twisted", "plugins")
    (farm / plugins).mkdir(parents=True)
    for folder, hidden in ((Path(), {"twisted"}), (Path("twisted"), {"plugins"}), (plugins, {"dropin.cache"})):
        for entry in (installed / folder).iterdir():
            if not entry.name.lower().startswith(("siger", "__editable__")) and entry.name not in hidden:
                (farm / folder / entry.name).symlink_to(entry)


class Installed:
    """
    An environment of its own with one wheel installed.
    """

    @classmethod
    @functools.cache
    def of(cls, wheel: Path) -> Installed:
        """
        Make it, the first time.
        """
        room = Path(tempfile.mkdtemp(prefix="siger-installed-"))
        atexit.register(shutil.rmtree, room)
        return cls(room, wheel)

    def __init__(self, room: Path, wheel: Path) -> None:
        self.room = room
        must(sys.executable, "-m", "venv", "--without-pip", room / "venv", cwd=room)
        self.python = room / "venv" / "bin" / "python"
        flags = ["--quiet", "--no-deps", "--no-index"]
        must(sys.executable, "-m", "pip", "--python", self.python, "install", *flags, wheel, cwd=room)
        link_dependencies(room / "dependencies")
        purelib = must(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=room).strip()
        Path(purelib, "dependencies.pth").write_text(f"{room / 'dependencies'}\n")

    def call(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run C{code} with C{arguments}, from an empty directory.
        """
        return run(self.python, "-P", "-c", code, *arguments, cwd=self.room)


def wheel_names(wheel: Path) -> set[str]:
    """
    Name the files of a wheel, without its metadata.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def source_names() -> Iterator[str]:
    """
    Name the files that a wheel has to hold, as they are called in it.
    """
    for path in (CHECKOUT / "siger").rglob("*"):
        if path.suffix in (".py", ".typed") and "__pycache__" not in path.parts:
            yield path.relative_to(CHECKOUT).as_posix()
    for plugin in (CHECKOUT / "twisted_plugins").glob("*.py"):
        yield f"twisted/plugins/{plugin.name}"


def installed_names() -> set[str]:
    """
    Name the files, without the metadata, of the wheel that was installed where this test runs, if it was built with
    hot modules compiled and from the checkout as it is now; else none.
    """
    packages = Path(sysconfig.get_path("platlib"))
    for record in packages.glob("siger-*.dist-info/RECORD"):
        names = {line.split(",")[0] for line in record.read_text().splitlines()}
        names = {
            name for name in names if not (name.startswith("../") or ".dist-info/" in name or name.endswith(".pyc"))
        }
        if record.stat().st_mtime > (CHECKOUT / "setup.py").stat().st_mtime and any(
            one.endswith(".so") for one in names
        ):
            return names if all(same(packages / name, name) for name in source_names()) else set()
    return set()


def same(installed: Path, name: str) -> bool:
    """
    Tell whether an installed file is what it is in the checkout.
    """
    source = CHECKOUT / name.replace("twisted/plugins/", "twisted_plugins/")
    return installed.exists() and installed.read_bytes() == source.read_bytes()


class PackagingTests(SynchronousTestCase):
    """
    Tests of the archives themselves.
    """

    def test_wheelHoldsEverything(self) -> None:
        """
        The wheel holds all of the package, the plugin where Twisted looks for it, and nothing else.
        """
        self.assertEqual(wheel_names(Built.get().wheel), set(source_names()))

    def test_noPackageOverTwisted(self) -> None:
        """
        The wheel does not write over the C{__init__.py} of Twisted's plugins package, nor bring one of its own.
        """
        self.assertEqual([n for n in wheel_names(Built.get().wheel) if n.endswith("plugins/__init__.py")], [])

    def test_sdistIsComplete(self) -> None:
        """
        The wheel built from the sdist has the same files as the one built from the checkout.
        """
        self.assertEqual(wheel_names(Built.get().rebuilt), wheel_names(Built.get().wheel))

    def test_sdistHoldsTheHouse(self) -> None:
        """
        The sdist holds what a developer needs: tests, configuration, documents and the make targets.
        """
        with tarfile.open(Built.get().sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        wanted = {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "setup.py", "pyproject.toml"}
        wanted |= {"configs/quickstart.yaml", "twisted_plugins/siger_plugin.py", "tests/test_packaging.py"}
        self.assertEqual(wanted - names, set())


class CompilingTests(SynchronousTestCase):
    """
    Tests of whether wheels have the hot modules compiled.
    """

    def build(self, **environment: str) -> tuple[set[str] | None, str]:
        """
        Build a wheel.

        @return: the names of its files, or C{None} when it could not be built; and what was printed.
        """
        room = Path(tempfile.mkdtemp(prefix="siger-compiling-"))
        self.addCleanup(shutil.rmtree, room)
        shutil.copytree(CHECKOUT, room / "source", ignore=NOT_SOURCE)
        flags = ["--verbose", "--no-deps", "--no-build-isolation", "--wheel-dir", str(room / "wheel")]
        command = [sys.executable, "-m", "pip", "wheel", *flags, str(room / "source")]
        done = run(*command, cwd=room, **environment)
        names = wheel_names(only(room / "wheel", "*.whl")) if done.returncode == 0 else None
        return names, done.stdout + done.stderr

    def hot_modules(self) -> set[str]:
        """
        Name the modules that C{setup.py} wants compiled.
        """
        tree = ast.parse((CHECKOUT / "setup.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT":
                return set(ast.literal_eval(node.value))
        raise AssertionError("setup.py has no HOT")

    def hasty(self, compiler: str) -> str:
        """
        This compiler, but it does not optimise: that takes most of its time, and what is in the wheel is the same.
        """
        program = Path(self.mktemp()).absolute()
        program.write_text(f'#!/bin/sh\nexec {compiler} "$@" -O0\n')
        program.chmod(0o755)
        return str(program)

    def test_names_of_exceptions(self) -> None:
        """
        No function of a hot module gives exceptions of two types one name: compiled, the name has the type of the
        first, and the second ends in a TypeError.
        """
        for module in self.hot_modules():
            for function in ast.walk(ast.parse((CHECKOUT / module).read_text())):
                if not isinstance(function, ast.FunctionDef):
                    continue
                types: dict[str, set[str]] = {}
                for node in ast.walk(function):
                    if isinstance(node, ast.ExceptHandler) and node.name is not None and node.type is not None:
                        types.setdefault(node.name, set()).add(ast.unparse(node.type))
                several = {name for name, caught in types.items() if len(caught) > 1}
                self.assertEqual(several, set(), f"{module}: {function.name}")

    def test_compiled(self) -> None:
        """
        With a C compiler the wheel holds each hot module compiled, what they share, and their sources still.  Where
        there is none, asking for it fails and says why.  A wheel that was installed from this very source is looked at
        instead of another, which takes a minute to compile.
        """
        compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
        if not (shutil.which(shlex.split(compiler)[0]) and Path(sysconfig.get_path("include"), "Python.h").exists()):
            names, printed = self.build(SIGER_COMPILE="1")
            self.assertIdentical(names, None)
            self.assertRegex(printed, "siger: SIGER_COMPILE=1, but .* missing")
            return
        names, printed = installed_names(), ""
        if not names:
            names, printed = self.build(SIGER_COMPILE="1", CC=self.hasty(compiler))
        assert names is not None, printed
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        wanted = {name.removesuffix(".py") + suffix for name in self.hot_modules()}
        extensions = {name for name in names if name.endswith(".so")}
        self.assertEqual(wanted - extensions, set())
        self.assertEqual([name for name in extensions - wanted if not name.endswith(f"__mypyc{suffix}")], [])
        self.assertEqual(names - extensions, set(source_names()))

    def test_withoutCompiler(self) -> None:
        """
        Without a C compiler the wheel is pure Python, and that is said.
        """
        names, printed = self.build(CC="/nonexistent/cc")
        self.assertIn("siger: installing the hot modules as plain Python: the C compiler '/nonexistent/cc'", printed)
        self.assertEqual(names, set(source_names()))

    def test_brokenCompiler(self) -> None:
        """
        A C compiler that fails has the same outcome: no module is compiled, rather than some.
        """
        names, printed = self.build(CC="false")
        self.assertIn("siger: installing the hot modules as plain Python: ", printed)
        self.assertEqual(names, set(source_names()))

    def test_required(self) -> None:
        """
        With C{SIGER_COMPILE=1} it is an error instead.
        """
        names, printed = self.build(CC="/nonexistent/cc", SIGER_COMPILE="1")
        self.assertIdentical(names, None)
        self.assertIn("siger: SIGER_COMPILE=1, but the hot modules could not be compiled: the C compiler", printed)


class InstalledTests(SynchronousTestCase):
    """
    Tests of Siger as a user has it after C{pip install}.
    """

    def archive(self) -> Path:
        """
        Say which wheel is tried.
        """
        return Built.get().wheel

    def setUp(self) -> None:
        """
        Install it; nobody has looked for plugins in it yet.
        """
        self.installed = Installed.of(self.archive())
        for cache in self.installed.room.rglob("dropin.cache"):
            cache.unlink()

    def says(self, code: str, *arguments: str) -> str:
        """
        Run something that has to succeed, and return what it printed.
        """
        done = self.installed.call(code, *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_commands(self) -> None:
        """
        C{twistd} and C{twist} list the service and run it far enough for its help and version; so does C{siger}.
        """
        version = f"siger {siger.__version__}\n"
        self.assertRegex(self.says(TWISTD, "--help"), r"\n +siger +An API gateway")
        self.assertRegex(self.says(TWISTD, "--help-reactors"), r"\n +siger\t")
        self.assertIn("--config", self.says(TWISTD, "siger", "--help"))
        self.assertEqual(self.says(TWISTD, "siger", "--version"), version)
        self.assertEqual(self.says(TWIST, "siger", "--version"), version)
        self.assertEqual(must(self.installed.python.with_name("siger"), "--version", cwd=self.installed.room), version)

    def test_foundWhereInstalled(self) -> None:
        """
        It is the installed package and plugin that run, not a checkout that happens to be near.
        """
        code = "import siger, twisted.plugins.siger_plugin as p; print(siger.__file__); print(p.__file__)"
        for line in self.says(code).splitlines():
            self.assertTrue(line.startswith(str(self.installed.room / "venv")), line)

    def test_listingLeavesReactorAlone(self) -> None:
        """
        Listing plugins, and looking at this one, imports no reactor; every other command of twistd keeps its choice.
        """
        code = (
            "import pickle, sys\n"
            "from twisted.application.service import IServiceMaker\n"
            "from twisted.plugin import getPlugins\n"
            "from zope.interface.verify import verifyObject\n"
            "maker, = (p for p in getPlugins(IServiceMaker) if p.tapname == 'siger')\n"
            "verifyObject(IServiceMaker, maker)\n"
            "print('twisted.internet.reactor' in sys.modules)\n"
        )
        self.assertEqual(self.says(code) + self.says(code), "False\nFalse\n")


class InstalledFromSdistTests(InstalledTests):
    """
    The same, installed from the source distribution.
    """

    def archive(self) -> Path:
        """
        Say which wheel is tried.
        """
        return Built.get().rebuilt
