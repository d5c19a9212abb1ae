"""`python -m nanobanana.simulator`: the simulator in the foreground."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

from .server import Simulator
from .validation import DIALECTS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator until Ctrl+C; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nanobanana simulate", description="Run an offline gateway on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8787, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument("--key", help="the only key that is accepted (default: any, and none)")
    parser.add_argument("--latency", type=float, default=2.0, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--credit", type=int, metavar="IMAGES", help="images that are paid for (default: no end)")
    parser.add_argument("--max-body", type=int, metavar="BYTES", help="larger requests get 413 (default: no limit)")
    parser.add_argument("--dialect", choices=DIALECTS, default="any", help="what requests must look like")
    parser.add_argument("--no-progress", action="store_true", help="say nothing while the client waits")
    options = parser.parse_args(argv)
    try:
        simulator = Simulator(
            host=options.host,
            port=options.port,
            api_key=options.key,
            latency=options.latency,
            credit=options.credit,
            max_body=options.max_body,
            dialect=options.dialect,
            progress=not options.no_progress,
        ).start()
    except (ValueError, OSError) as error:
        print(f"The simulator cannot start: {error}", file=sys.stderr)
        return 2
    print(f"Simulated gateway at {simulator.base_url} - its images say SIMULATED. Ctrl+C ends it.", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("Ended.")
    finally:
        simulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
