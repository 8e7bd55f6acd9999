"""Runs one benchmark in a process of its own: `python -m ocrmaps.pipelines.bench.child REQUEST`, a JSON object.

Compiled loops, thread pools and pinned cores of one benchmark do not reach the next, and a crash takes only itself.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from ocrmaps.errors import OcrmapsError
from ocrmaps.pipelines.bench import record as bench
from ocrmaps.pipelines.bench.load import Watch


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """The figures of one benchmark, who else used the cores meanwhile, and the most memory that it took."""
    name, repeats, quick = request["name"], request["repeats"], request["quick"]
    watch = Watch()
    source = None if request["source"] is None else Path(request["source"])
    results = bench.measure(name, repeats, quick, source)
    return {"results": results, "load": watch.finish().as_dict(), "peak_mb": _peak_mb()}


def _peak_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def main() -> int:
    """Write the answer to the file that the request names; what went wrong goes to stderr, its last line the reason."""
    request = json.loads(sys.argv[1])
    try:
        answer = measure(request)
    except OcrmapsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    Path(request["answer"]).write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
