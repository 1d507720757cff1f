"""The threads that send: some for endpoints that answer quickly, others for those that are slow or fail, so that none waits for
the time-outs of another's."""

import logging
import queue
import threading
from collections.abc import Callable

from flask import Flask

from portal_site import clock
from portal_site.billing.events import reading as events
from portal_site.db.faults import described, is_of_surroundings
from portal_site.deliveries import sending
from portal_site.deliveries.connections import Sender
from portal_site.deliveries.sending import Waiting

EVERY = 1.0  # seconds between two looks
QUICK, SLOW = 8, 8  # threads of each lane
AT_ONCE = 1  # events in the turn of an endpoint that is slow or fails
log = logging.getLogger("portal.webhooks")


class Lane:
    """Threads that take what is put into one queue."""

    def __init__(self, name: str, threads: int, act: Callable[[str], None]) -> None:
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._act, self._count = act, threads
        for number in range(threads):
            threading.Thread(target=self._run, name=f"webhooks-{name}-{number}", daemon=True).start()

    def put(self, endpoint_id: str) -> None:
        """Let one of the threads take it."""
        self._jobs.put(endpoint_id)

    def stop(self) -> None:
        """The threads end when they are done with what they do now."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _run(self) -> None:
        while (endpoint_id := self._jobs.get()) is not None:
            self._act(endpoint_id)


class Dispatcher:
    """Gives each endpoint that has something to be sent its turn, one at a time, until `stop` is set."""

    def __init__(self, app: Flask, stop: threading.Event, every: float = EVERY) -> None:
        self.app, self.every = app, every
        self._stop, self._wake = stop, threading.Event()
        self._taken: set[str] = set()
        self.sender = Sender(app.config["SETTINGS"].webhook_networks)
        self._quick = Lane("quick", QUICK, lambda name: self._turn(name, None))
        self._slow = Lane("slow", SLOW, lambda name: self._turn(name, AT_ONCE))

    def run(self) -> None:
        """Look for endpoints again and again."""
        while not self._stop.is_set():
            pause = self.every
            try:
                self._look()
            except Exception as error:
                _complain(error)
                pause = 10 * self.every
            self._wake.wait(pause)
            self._wake.clear()
        self.sender.stop()
        self._quick.stop()
        self._slow.stop()

    def halt(self) -> None:
        """End `run`, and what is being sent."""
        self._stop.set()
        self.sender.stop()
        self._wake.set()

    def _look(self) -> None:
        with self.app.app_context():
            events.number_waiting()
            found = sending.waiting(clock.now())
        for one in found:
            if one.id not in self._taken:
                self._give(one)

    def _give(self, one: Waiting) -> None:
        self._taken.add(one.id)
        (self._slow if one.is_slow else self._quick).put(one.id)

    def _turn(self, endpoint_id: str, most: int | None) -> None:
        is_more = False
        try:
            if not self._stop.is_set():
                with (
                    self.app.app_context(),
                    self.app.test_request_context(base_url=self.app.config["SETTINGS"].base_url),
                ):
                    is_more = sending.take_turn(self.sender, endpoint_id, clock.now(), most=most)
        except Exception as error:
            _complain(error)
        finally:
            self._taken.discard(endpoint_id)
        if is_more:
            self._wake.set()


def _complain(error: Exception) -> None:
    if is_of_surroundings(error):
        log.error("events are sent later: %s", described(error))
    else:
        log.exception("events are sent later")


def in_thread(app: Flask, stop: threading.Event) -> tuple[threading.Thread, Dispatcher]:
    """The dispatcher beside the billing, until `stop` is set."""
    dispatcher = Dispatcher(app, stop)
    thread = threading.Thread(target=dispatcher.run, name="webhooks", daemon=True)
    thread.start()
    return thread, dispatcher
