"""``stoker demo``, ``stoker run SCRIPT``, ``stoker profile MODULE:FACTORY``.

Rules: parses, calls, prints, and gives the exit status; each command's part is imported only when it is asked for. What follows ``run``
or ``profile`` goes to that part as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version

from stoker.errors import StokerError

INTERRUPTED = 130
UNREAD = 141
"""Nobody reads the output any more, as after ``stoker demo | head``; the status that shells give for SIGPIPE."""
EPILOG = "Documentation and examples: README.md, docs/ and examples/ in the project's folder."


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``stoker``; None takes those of the process.

    Returns:
        The exit status: 0, 1 after an error, 2 for a wrong command line, 130 after Ctrl-C, 141 where nobody reads the output.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["run"]:
            from stoker.compat.runner import main as run

            return run(words[1:], stays=argv is None)
        if words[:1] == ["profile"]:
            return _profile(words[1:])
        asked = _parser().parse_args(words)
        from stoker.cli.demo import demo

        demo(with_report=asked.report)
        return 0
    except StokerError as error:
        print(f"stoker: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stoker: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains when it flushes at its end
        return UNREAD


def _profile(words: list[str]) -> int:
    from stoker.cli.profile import main as profile

    return profile(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stoker", description="Train Keras models from Python generators and Sequences.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"stoker {version('stoker')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="train a digit classifier from images augmented on the fly",
        description="Trains a small convolutional net on handwritten digits, from a Sequence and from a generator, in about a minute, "
        "and writes history.png into the current folder.")
    demo.add_argument("--report", action="store_true", help="also write report.html: the run as a page to look at in a browser")
    commands.add_parser("run", help="run a script written for Keras 1 or 2 as it is", add_help=False)
    commands.add_parser("profile", help="draw items from a source and say how it will feed a model", add_help=False)
    return parser
