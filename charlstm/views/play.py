"""Interactive terminal view of a model, with prompt_toolkit (an extra)."""

import asyncio
import contextlib
import math
import signal
from collections.abc import Callable
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

from charlstm.inference.draft import NUM_CANDIDATES, Draft
from charlstm.reading.documents import EOS
from charlstm.system.interrupts import stop_signals
from charlstm.system.terminal import is_colorless, text_output
from charlstm.views.draft import Size, screen
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
    session = _Session(draft, name)
    with stop_signals() as signals:
        # Hold signals until the terminal is restored.
        signals.hold()
        try:
            session.run(lambda: signals.forward(session.end_soon))
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


class _Session:
    """Application with key bindings, background work between keys, and the screen."""

    def __init__(self, draft: Draft, name: str) -> None:
        self._draft = draft
        self._name = name
        self._has_work = asyncio.Event()
        self._has_work.set()
        self._app: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._fragments, focusable=True))),
            key_bindings=self._keys(),
            full_screen=True,
            erase_when_done=True,
            min_redraw_interval=_SECONDS_BETWEEN_DRAWINGS,
        )
        # Ctrl-P and Escape wait for the next key without a timeout.
        self._app.timeoutlen = math.inf

    def run(self, on_start: Callable[[], None]) -> None:
        """Run the application until it quits.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
        """

        def start() -> None:
            asyncio.get_running_loop().set_exception_handler(self._fail)
            self._app.create_background_task(self._work())
            on_start()

        with contextlib.suppress(EOFError):  # the terminal was closed
            self._app.run(pre_run=start, handle_sigint=False, set_exception_handler=False)

    def end_soon(self) -> None:
        """Quit from a signal handler."""
        if self._app.loop is not None:
            self._app.loop.call_soon_threadsafe(self._end)

    def _end(self, error: BaseException | type[BaseException] | None = None) -> None:
        if self._app.is_done:
            return
        if error is None:
            self._app.exit()
        else:
            self._app.exit(exception=error)

    def _fail(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._end(context.get("exception") or RuntimeError(context["message"]))

    async def _work(self) -> None:
        """Work on predictions in small steps, and let keys be handled in between."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while self._draft.work():
                self._app.invalidate()
                await asyncio.sleep(0)
            self._app.invalidate()

    def _fragments(self) -> StyleAndTextTuples:
        size = self._app.output.get_size()
        lines = screen(self._draft, Size(size.rows, size.columns), name=self._name)
        fragments: StyleAndTextTuples = []
        for number, line in enumerate(lines):
            fragments += [("", "\n"), *line] if number else line
        return fragments

    def _keys(self) -> KeyBindings:
        draft = self._draft
        bindings = KeyBindings()

        def bind(*keys: str, action: Callable[[KeyPressEvent], object]) -> None:
            def handle(event: KeyPressEvent) -> None:
                action(event)
                self._has_work.set()

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
        bind("c-d", action=lambda _: self._end())
        bind("escape", "q", action=lambda _: self._end())
        bind("c-c", action=lambda _: self._end(KeyboardInterrupt))
        return bindings
