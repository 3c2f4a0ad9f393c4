"""`make capacity`: simulate the hours, write results.json and docs/autoscaling.md; with REAL=1 the real run as well.

With PAGE=1 nothing is simulated: the page is written from what was found before.
"""

import os
import sys

from . import page, real, results


def main() -> int:
    found = results.read() if results.FILE.exists() else {}
    if not os.environ.get("PAGE"):
        found |= results.simulated()
    if os.environ.get("REAL") or "real" not in found:
        found["real"] = real.run()
    results.write(found)
    page.write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
