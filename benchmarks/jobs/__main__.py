"""
Makes C{python -m benchmarks.jobs} measure jobs.
"""

from __future__ import annotations

import sys

from benchmarks.jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
