"""Train in a process of its own: the order is JSON on the command line, events are JSON lines on standard output."""

from __future__ import annotations

import json
import sys

from tunery.training.fit import fit

if __name__ == "__main__":
    result = fit(json.loads(sys.argv[1]), lambda event: print(json.dumps(event), flush=True), lambda: False)
    print(json.dumps({"type": "result", **result}), flush=True)
