"""The command line, loaded once: every line runs in a process of its own that begins where loading it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
import json, os, sys
from ocrmaps.cli.app import main
exec(sys.argv[1])
for request in map(json.loads, sys.stdin):
    child = os.fork()
    if child == 0:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        modules = os.path.abspath("modules.json")
        os.chdir(request["folder"])
        os.environ.update(request["env"])
        sys.argv, code = ["ocrmaps", *request["words"]], 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        with open(modules, "w") as file:
            json.dump(sorted(sys.modules), file)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Ended(NamedTuple):
    """What a line left behind."""

    returncode: int
    stdout: str
    stderr: str
    modules: list[str]
    """The names of all that it had imported."""


Typed = Callable[..., Ended]
"""`typed(words, folder, **environment)`: run a line as somebody types it in the folder."""


@contextmanager
def _server(answers: Path, before: str) -> Iterator[Typed]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OCRMAPS_CACHE": str(answers / "cache")}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, before], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        cwd=answers,
    ) as server:  # fmt: skip
        assert server.stdin is not None and server.stdout is not None

        def typed(words: Sequence[str], folder: Path, **environment: str) -> Ended:
            request = {"folder": str(folder), "words": list(words), "env": environment}
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
            left = [answers / name for name in ("stdout", "stderr", "modules.json")]
            out, err, modules = (path.read_text() for path in left)
            for path in left:
                path.unlink()
            return Ended(code, out, err, json.loads(modules))

        yield typed
        server.stdin.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], AbstractContextManager[Typed]]:
    """`with server(before) as typed`: what `before` loads, all lines have imported."""
    return lambda before: _server(tmp_path_factory.mktemp("typed"), before)
