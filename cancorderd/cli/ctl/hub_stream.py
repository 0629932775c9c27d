"""A bus at a hub as a stream of frames for `cancorderctl dump`, and the options that lead there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cancorderd.cli.ctl import hub_access
from cancorderd.cli.ctl.quantities import duration
from cancorderd.cli.ctl.service_file import service_file
from cancorderd.cli.ctl.terminal import print_error
from cancorderd.control.client import ControlError
from cancorderd.control.protocol import Exit
from cancorderd.printable import error_text

if TYPE_CHECKING:
    import argparse

    from cancorderd.adapters.nats.moments import Wanted
    from cancorderd.adapters.nats.reader import Item
    from cancorderd.config.configuration import Configuration
    from cancorderd.hub.access import HubAccess
    from cancorderd.protocol.frame import Frame

PREFIX = "nats:"
_MOST_AT_ONCE = 12_000
"""Frames per call, as of a connection to a logger."""
_CONNECT_S = 15.0


class WantedEnd(Exception):
    """All frames that were asked for have been delivered."""


class HubStream:
    """Frames of a bus at a hub, read by a thread. The interface of a `client.Connection`, as far as `dump` needs it."""

    packets_repaired = 0

    def __init__(self, name: str, access: HubAccess, gateway: str, bus: str, wanted: Wanted) -> None:
        """Connect. Raises ControlError if the hub cannot be read."""
        from cancorderd.adapters.nats.account import Account
        from cancorderd.adapters.nats.bodies import BodyDecoder
        from cancorderd.adapters.nats.reader_thread import ReaderThread
        from cancorderd.hub.failures import HubError
        from cancorderd.protocol.packets import PacketDecoder

        self.name = name
        self._wanted = wanted
        self._account = Account()
        self._bodies = BodyDecoder(lambda _arbitration_id, _extended: True, wanted.span)
        self._packets = PacketDecoder()
        self._thread = ReaderThread(access, gateway, bus, wanted)
        self._thread.begin()
        self._reason = ""
        deadline_s = time.monotonic() + _CONNECT_S
        while self._thread.trying and time.monotonic() < deadline_s:
            self._thread.wait(0.1)
        if self._thread.reason:
            failure = self._thread.failure or HubError(self._thread.reason)
            self._thread.close()
            raise hub_access.failed(failure)

    @property
    def packets_skipped(self) -> int:
        return self._bodies.malformed

    @property
    def first_fault(self) -> str:
        return ""

    def fileno(self) -> int:
        return self._thread.fileno()

    def receive_available(self) -> list[Frame]:
        """Return the frames that have arrived, without waiting. Raises WantedEnd behind the last one that is wanted."""
        self._thread.hush()
        self._tell()
        frames: list[Frame] = []
        # Looked at before the messages: those that were read up to the end are there by now.
        caught_up = self._thread.caught_up
        while len(frames) < _MOST_AT_ONCE:
            item = self._thread.next_item()
            if item is None:
                if self._is_over(caught_up=caught_up):
                    if not frames:
                        raise WantedEnd
                    self._thread.ring()  # the end comes with the next call
                return frames
            if item.head.first_us > self._wanted.span.to_us:
                if frames:
                    self._thread.put_back(item)
                    return frames
                raise WantedEnd
            frames += self._frames(item)
        self._thread.ring()
        return frames

    def close(self) -> None:
        """End the connection, and print notices that are left and what was lost on the way."""
        self._thread.close()
        self._print_notices()
        if lost := self._account.lost.text(self._bodies.missing):
            print_error(f"{self.name}: lost on the way: {lost}.")

    def _tell(self) -> None:
        if self._thread.error is not None:
            raise OSError(f"{self.name}: reading failed: {error_text(self._thread.error)}. Report this.")
        if self._thread.reason != self._reason:
            self._reason = self._thread.reason
            print_error(self._reason or f"{self.name}: connected again.")
        self._print_notices()

    def _print_notices(self) -> None:
        while self._thread.notices:
            print_error(self._thread.notices.popleft()[1])

    def _frames(self, item: Item) -> list[Frame]:
        from cancorderd.adapters.nats.bodies import BodyError

        if self._account.last is None and item.head.last_us < self._wanted.span.from_us:
            return []
        if not self._account.take(item.head):
            return []
        try:
            batch = self._bodies.decode(item.body, item.head)
        except BodyError as error:
            print_error(f"{self.name}: batch {item.head.batch}: {error}. Left out.")
            return []
        self._packets.receive(batch.packets)
        return list(self._packets.frames())

    def _is_over(self, *, caught_up: bool) -> bool:
        """Whether the last moment has passed, and the hub holds nothing more of it."""
        return self._wanted.ends and caught_up and time.time_ns() // 1000 > self._wanted.span.to_us


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of sources nats:GATEWAY/BUS."""
    group = parser.add_argument_group(
        "options of nats:GATEWAY/BUS",
        "Without --url, those of the configuration apply: of a bus with this gateway, else of any other bus at a hub, else "
        "of [forward].",
    )
    group.add_argument("--from", dest="from_", metavar="TIME", default="now",
                       help='first time stamp such as 2026-11-25T10:00:00Z, "all" that the hub holds, or "now" (default)')  # fmt: skip
    group.add_argument("--to", metavar="TIME", help="last time stamp (default: go on with new frames)")
    group.add_argument(
        "--url", metavar="URL", action="append", help="server of the hub, tls://HOST; may be repeated"
    )
    group.add_argument("--user", metavar="NAME", help="user to log in as")
    group.add_argument("--password-file", metavar="FILE", help="file with the user's password")
    group.add_argument("--credentials", metavar="FILE", help="a .creds file, in place of user and password")
    group.add_argument(
        "--ca", metavar="FILE", help="certificates that vouch for the hub (default: the system's)"
    )
    group.add_argument(
        "--certificate", metavar="FILE", help="certificate of this client, if the hub asks for one"
    )
    group.add_argument("--key", metavar="FILE", help="key of this certificate")


def open_hub_stream(name: str, options: argparse.Namespace | None) -> HubStream:
    """Connect to the bus of a source nats:GATEWAY/BUS. Raises ControlError."""
    from cancorderd.adapters.nats.moments import MomentError, span_of
    from cancorderd.hub.failures import LibraryMissing
    from cancorderd.hub.subjects import parsed_subject, subject

    gateway, _, bus = name.removeprefix(PREFIX).partition("/")
    if parsed_subject(subject(gateway, bus)) is None:
        raise ControlError(f'"{name}" names no bus at a hub. Write {PREFIX}GATEWAY/BUS.', Exit.USAGE)
    try:
        wanted = span_of(options.from_, options.to) if options else span_of("now")
    except MomentError as error:
        raise ControlError(f"--{error.key}: {error}", Exit.USAGE) from error
    if wanted.live and wanted.span.to_us < time.time_ns() // 1000:
        raise ControlError(
            "--to: has passed, and without --from only new frames are printed. Add --from.", Exit.USAGE
        )
    if (ahead_us := wanted.span.from_us - time.time_ns() // 1000) > 0:
        print_error(f"--from: is {duration(ahead_us / 1e6)} ahead, and nothing is printed before.")
    access = (
        _access_of(options)
        if options and options.url
        else _configured_access(gateway, options.socket if options else None)
    )
    try:
        return HubStream(name, access, gateway, bus, wanted)
    except LibraryMissing as error:
        raise ControlError(str(error), Exit.FAILED) from error


def _access_of(options: argparse.Namespace) -> HubAccess:
    from cancorderd.hub.access import HubAccess

    access = HubAccess(
        tuple(options.url), options.credentials, options.user, options.password_file,
        options.ca, options.certificate, options.key,
    )  # fmt: skip
    for mistake in access.mistakes():
        raise ControlError(f"--{mistake.key.replace('_', '-')}: {mistake.sentence}", Exit.USAGE)
    return access


def _configured_access(gateway: str, control_socket: str | None) -> HubAccess:
    """Return how the configuration reaches the hub. Raises ControlError."""
    from cancorderd.config.loading import ConfigurationError, load

    path = service_file(None, control_socket)
    try:
        configuration = load(path, pipe=False)
    except ConfigurationError as error:
        raise ControlError(f"{error}\nOr write --url and its options.", Exit.FAILED) from error
    found = _access_in(configuration, gateway)
    if found is None:
        raise ControlError(f"{path} names no hub. Write --url tls://HOST and how to log in.", Exit.USAGE)
    return found


def _access_in(configuration: Configuration, gateway: str) -> HubAccess | None:
    from cancorderd.adapters.nats.settings import NatsSettings

    viewed = [bus for bus in configuration.buses if isinstance(bus, NatsSettings)]
    viewed.sort(key=lambda bus: bus.gateway != gateway)
    if viewed:
        return viewed[0].access
    forward = getattr(configuration, "forward", None)
    return forward.access if forward is not None else None
