"""The command line: `python -m nanobanana generate | edit | doctor | simulate | journal`, from the pack's folder.

The same library as the nodes: the same profiles and journal, so what was paid for in one costs nothing in the other
(set NANOBANANA_HOME to ComfyUI's `user/__nanobanana` to share them). Exit status: 0 all images came, 3 some of them,
1 none or another failure, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if missing := [name for name in ("numpy", "PIL", "requests") if importlib.util.find_spec(name) is None]:
    sys.exit(
        f"Python can't find {' and '.join(missing)}. Install what the pack needs:\n"
        f"    {sys.executable} -m pip install numpy pillow requests"
    )

from .calls.engine import Call, Engine
from .calls.models import Order, Outcome, check_choices, check_image_count, checked_prompt
from .cancel import CancelToken
from .catalog import ASPECT_RATIOS, DEFAULT_MODEL, OUTPUT_FORMATS, SIMULATOR, nearest_ratio
from .errors import InputError, NanoBananaError
from .image_request import ImageRequest
from .imaging.codec import decode
from .imaging.headers import extension
from .imaging.payload import InputImages
from .imaging.sources import ArraySource
from .journal import Journal
from .progress import Progress
from .settings.profile import Profile
from .settings.store import ProfileStore, data_folder

_POLL_SECONDS = 0.1
_MOST_SEED = 2**64 - 1
_FAILED, _SOME, _STOPPED = 1, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` without the program's name."""
    argv = sys.argv[1:] if argv is None else argv
    # What a person should know is printed; without a handler Python would print the log's warnings too.
    logging.getLogger(__package__).addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        # A prompt may hold characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if argv[:1] == ["simulate"]:
        # The simulator parses its own options, `--help` included.
        from .simulator.__main__ import main as simulate

        return simulate(argv[1:])
    arguments = _parser().parse_args(argv)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except NanoBananaError as error:
        print(f"{error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _STOPPED
    except BrokenPipeError:
        # Whoever read the output (`| head`) has read enough; Python would complain once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nanobanana", description="NanoBanana images from the command line.")
    commands = parser.add_subparsers(required=True, metavar="command")

    generate = commands.add_parser("generate", help="make images from a prompt")
    generate.add_argument("prompt")
    _add_call_options(generate, ratios=ASPECT_RATIOS, ratio="1:1")
    generate.set_defaults(run=_generate)

    edit = commands.add_parser("edit", help="edit images")
    edit.add_argument("prompt")
    edit.add_argument("images", nargs="+", type=Path, help="image files, the one to edit first")
    _add_call_options(edit, ratios=("auto", *ASPECT_RATIOS), ratio="auto")
    edit.set_defaults(run=_edit)

    doctor = commands.add_parser("doctor", help="test the connection; costs nothing")
    doctor.add_argument("--profile", default="default")
    doctor.set_defaults(run=_doctor)

    commands.add_parser("simulate", help="run the offline gateway")

    journal = commands.add_parser("journal", help="what was asked, paid for and received")
    actions = journal.add_subparsers(required=True, metavar="action")
    listing = actions.add_parser("list", help="the newest calls")
    listing.add_argument("--search", default="")
    listing.add_argument("--most", type=int, default=20)
    listing.set_defaults(run=_journal_list)
    actions.add_parser("stats", help="how much there is").set_defaults(run=_journal_stats)
    actions.add_parser("trim", help="delete the oldest images over the cap").set_defaults(run=_journal_trim)
    return parser


def _add_call_options(parser: argparse.ArgumentParser, *, ratios: Sequence[str], ratio: str) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--aspect-ratio", choices=ratios, default=ratio)
    parser.add_argument("--format", choices=OUTPUT_FORMATS, default="png")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=_seed, default=0)
    parser.add_argument("--profile", default="default")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the images")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2**64 - 1")
    return int(text)


def _generate(arguments: argparse.Namespace) -> int:
    return _produce(arguments, arguments.aspect_ratio, None)


def _edit(arguments: argparse.Namespace) -> int:
    sources = [_load(path) for path in arguments.images]
    ratio = arguments.aspect_ratio
    if ratio == "auto":
        ratio = nearest_ratio(sources[0].width, sources[0].height)
    return _produce(arguments, ratio, InputImages(sources))


def _load(path: Path) -> ArraySource:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    return ArraySource(decode(data).rgb)


def _profile(name: str) -> Profile:
    return ProfileStore(data_folder()).get(name)


def _produce(arguments: argparse.Namespace, ratio: str, inputs: InputImages | None) -> int:
    profile = _profile(arguments.profile)
    prompt = checked_prompt(arguments.prompt, profile)
    request = ImageRequest(arguments.model, prompt, ratio, arguments.format, arguments.seed)
    check_choices(profile, request, arguments.count)
    check_image_count(arguments.model, len(inputs) if inputs else 0)
    run = f"command-line-{time.time():.3f}"
    order = Order(profile, request, run, inputs)
    try:
        # Before anything is paid.
        arguments.output.mkdir(parents=True, exist_ok=True)
        if not os.access(arguments.output, os.W_OK):
            raise PermissionError(None, "no permission to write there")
    except OSError as error:
        raise InputError(f"The folder {arguments.output} can't be used: {error.strerror}.") from error
    with Journal(data_folder()) as journal:
        engine = Engine(journal)
        cancel = CancelToken()
        calls = [engine.start(order, variation, cancel) for variation in range(arguments.count)]
        try:
            _follow(calls)
        except KeyboardInterrupt:
            cancel.cancel()
            with contextlib.suppress(KeyboardInterrupt):
                _follow(calls)
        outcomes = [call.outcome for call in calls if call.outcome]
        _save(journal, outcomes, arguments.output)
    if cancel.cancelled:
        return _STOPPED
    came = sum(bool(outcome.images) for outcome in outcomes)
    return 0 if came == len(calls) else _SOME if came else _FAILED


def _follow(calls: Sequence[Call]) -> None:
    said: dict[int, Progress] = {}
    while True:
        for call in calls:
            if said.get(call.variation) != call.report:
                said[call.variation] = call.report
                print(f"{call.variation}: {call.report.phase} {call.report.text}".rstrip(), file=sys.stderr)
        if all(call.done for call in calls):
            return
        time.sleep(_POLL_SECONDS)


def _save(journal: Journal, outcomes: Sequence[Outcome], folder: Path) -> None:
    for outcome in outcomes:
        for warning in outcome.warnings:
            print(warning, file=sys.stderr)
        if outcome.error:
            print(outcome.error, file=sys.stderr)
        for delivered in outcome.images:
            if delivered.unsaved:
                # The history could not take it, so this is the only copy.
                path = folder / f"unsaved-{time.time_ns()}.{extension(delivered.unsaved)}"
                path.write_bytes(delivered.unsaved)
            else:
                kept = journal.image(delivered.id)
                path = folder / f"{delivered.id}.{kept.extension}"
                path.write_bytes(journal.read(kept))
            height, width = delivered.image.rgb.shape[:2]
            print(f"{path}  {width}x{height}  {outcome.seconds:.1f} s  {outcome.source}")


def _doctor(arguments: argparse.Namespace) -> int:
    from .calls.connection_test import diagnose
    from .calls.engine import reachable

    found = diagnose(_profile(arguments.profile), cancel=CancelToken(), resolve_base_url=reachable)
    print(found.message if not found.hint else f"{found.message} {found.hint}")
    return 0 if found.ok else 1


def _journal_list(arguments: argparse.Namespace) -> int:
    with Journal(data_folder()) as journal:
        for call in journal.history(limit=arguments.most, search=arguments.search).calls:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(call.asked_at))
            prompt = " ".join(call.details.request.prompt.split())[:60]
            billed = "no" if call.details.base_url == SIMULATOR else call.billed
            print(f"{when}  {call.state:<8}  {billed:<5}  {call.details.request.model:<18}  {prompt}")
            for image in call.images:
                print(f"    {image.id}  {image.path}")
    return 0


def _journal_stats(_: argparse.Namespace) -> int:
    with Journal(data_folder()) as journal:
        stats = journal.stats()
    for state, count in stats.calls.items():
        print(f"{state:<10} {count} calls")
    print(f"{stats.images} images, {stats.bytes / 1e6:.1f} of at most {stats.cap_bytes / 1e6:.0f} MB")
    return 0


def _journal_trim(_: argparse.Namespace) -> int:
    with Journal(data_folder()) as journal:
        gone = journal.trim()
    print(f"{gone.images} images deleted, {gone.bytes / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
