"""Where ``edgeau`` begins; ``python -m edgeau.runtime`` is the same, for places without its script on the path."""

import sys


def main() -> int:
    """Run the command line and return its exit code. Ctrl-C is answered while its modules are still being imported."""
    try:
        from .cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("edgeau: interrupted\n")
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
