"""The command line."""

import os
import sys

if os.name != "posix":  # before anything imports what is not there
    sys.stderr.write(
        "ocrmaps: this is Windows, found no POSIX locks and renames, which stores rely on; expected Linux or macOS\n"
        "  try: run it in WSL, with the cache on WSL's own disk\n"
    )
    sys.exit(2)
