"""Interactive terminal view of a model, with prompt_toolkit (an extra)."""

import asyncio
import contextlib
import math
import signal
from collections.abc import Callable
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import Layout

from charlstm.inference.draft import NUM_CANDIDATES, Draft
from charlstm.reading.documents import EOS
from charlstm.system.interrupts import StopSignals, stop_signals
from charlstm.system.terminal import is_colorless, text_output
from charlstm.views.draft import screen
from charlstm.views.tables import shade

_TEMPERATURE_STEP: Final = 0.1
_SECONDS_BETWEEN_DRAWINGS: Final = 0.03


def play(draft: Draft, *, name: str) -> None:
    """Run the interactive view until a key quits it, then print the text.

    Args:
        name: the model's name.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
    """
    with stop_signals() as signals:
        # Hold signals until the terminal is restored.
        signals.hold()
        try:
            _run(draft, name, signals)
        finally:
            if signals.received is None:
                _print_text(draft)
    if signals.received is not None:
        signal.raise_signal(signals.received)


def _print_text(draft: Draft) -> None:
    """Print the text to stdout, shaded by surprisal if there are colors."""
    if not draft.text:
        return
    costs = draft.nats(0, len(draft.text))
    with text_output(as_bytes=draft.tokenizer.is_byte) as write:
        for symbol, nats in zip(draft.text, costs, strict=True):
            style = "" if nats is None or is_colorless() else shade(nats)
            write("\n" if symbol == EOS else symbol, style=style)
        write("\n")


def _run(draft: Draft, name: str, signals: StopSignals) -> None:
    """Show the screen, and handle keys, with work on predictions between them, until the end."""
    has_work = asyncio.Event()
    has_work.set()
    app: Application[None] = Application(
        layout=Layout(screen(draft, name=name)),
        full_screen=True,
        erase_when_done=True,
        min_redraw_interval=_SECONDS_BETWEEN_DRAWINGS,
    )
    # Ctrl-P and Escape wait for the next key without a timeout.
    app.timeoutlen = math.inf

    def end(error: BaseException | type[BaseException]) -> None:
        if not app.is_done:
            app.exit(exception=error)

    def end_soon() -> None:
        # Called by a signal handler, maybe after the loop has ended.
        if app.loop is not None:
            app.loop.call_soon_threadsafe(end, EOFError)

    async def work() -> None:
        while True:
            await has_work.wait()
            has_work.clear()
            while draft.work():
                app.invalidate()
                await asyncio.sleep(0)
            app.invalidate()

    def fail(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        end(context.get("exception") or RuntimeError(context["message"]))

    def start() -> None:
        asyncio.get_running_loop().set_exception_handler(fail)
        app.create_background_task(work())
        signals.forward(end_soon)

    app.key_bindings = _bindings(draft, end=end, after_key=has_work.set)
    with contextlib.suppress(EOFError):  # a key or signal ended it, or the terminal was closed
        app.run(pre_run=start, handle_sigint=False, set_exception_handler=False)


def _bindings(
    draft: Draft, *, end: Callable[[type[BaseException]], None], after_key: Callable[[], None]
) -> KeyBindings:
    """Return what each key does.

    Args:
        end: called with the reason when a key quits.
        after_key: called after each key.
    """
    bindings = KeyBindings()

    def bind(*keys: str, action: Callable[[KeyPressEvent], object]) -> None:
        def handle(event: KeyPressEvent) -> None:
            action(event)
            after_key()

        bindings.add(*keys)(handle)

    def insert(event: KeyPressEvent) -> None:
        # Ignore function keys without a binding.
        if not isinstance(event.key_sequence[-1].key, Keys):
            draft.insert(event.data)

    bind(Keys.Any, action=insert)
    bind(Keys.BracketedPaste, action=lambda event: draft.insert(event.data))
    bind("enter", action=lambda _: draft.insert("\n"))
    bind("backspace", action=lambda _: draft.delete())
    bind("left", action=lambda _: draft.move(-1))
    bind("right", action=lambda _: draft.move(1))
    bind("home", action=lambda _: draft.move(-len(draft.text)))
    bind("end", action=lambda _: draft.move(len(draft.text)))
    bind("up", action=lambda _: draft.change_temperature(_TEMPERATURE_STEP))
    bind("down", action=lambda _: draft.change_temperature(-_TEMPERATURE_STEP))
    bind("tab", action=lambda _: draft.pick(0))
    for digit in range(1, NUM_CANDIDATES + 1):

        def pick(_: KeyPressEvent, rank: int = digit - 1) -> None:
            draft.pick(rank)

        for keys in ([f"f{digit}"], ["escape", f"{digit}"], ["c-p", f"{digit}"]):
            bind(*keys, action=pick)
    bind("c-w", action=lambda _: draft.write_line())
    bind("c-d", action=lambda _: end(EOFError))
    bind("escape", "q", action=lambda _: end(EOFError))
    bind("c-c", action=lambda _: end(KeyboardInterrupt))
    return bindings
