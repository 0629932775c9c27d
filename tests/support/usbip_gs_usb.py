"""An emulated candleLight (gs_usb) CAN adapter, plugged in through USB/IP.

A socket pair is the USB cable: the kernel's vhci_hcd gets one end, and this
program is the device at the other. libusb and the kernel's gs_usb driver see
an ordinary USB device. Needs root and the vhci-hcd module.

  python -m tests.support.usbip_gs_usb --rate 1000   1000 frames/s: id 0x100, a counter
                  ... --bridge vcan0                  its CAN bus is vcan0
                  ... --channels 2 --fd               a CAN FD adapter with two channels

Without --bridge, frames from the host are only acknowledged. Lines on
standard input, or in the FIFO that --control names, control it:

  frame 123#0102    receive a frame (cansend's notation, ##F for FD)
  error 4 [DATA]    receive an error frame (class bits in hex)
  rate 50           receive a stream of frames
  stall on|off      stop or resume answering IN transfers
  unplug    plug    pull the cable, plug it in again
  status    quit    print counters as JSON; end
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.gs_usb_adapter import ERR, FLAG_BRS, FLAG_FD, EmulatedGsUsb, Frame, frame, parse

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
EPIPE, ECONNRESET = -32, -104
FULL_SPEED, HIGH_SPEED = 2, 3

HEADER = struct.Struct(">5I28s")  # command, seqnum, devid, direction, ep, rest
SUBMIT = struct.Struct(">Ii3i8s")  # flags, length, ..., setup
REPLY = struct.Struct(">5I5i8x")  # ..., status, actual length, ...


class UsbIpAdapter(EmulatedGsUsb):
    """An adapter on the kernel's virtual USB bus. plug() and unplug() may be called any number of times."""

    def __init__(self, channels: int = 1, *, fd: bool = False, serial: str = "LAB0001") -> None:
        super().__init__(channels, fd=fd, serial=serial)
        self._cable: socket.socket | None = None
        self._waiting: collections.OrderedDict[int, int] = collections.OrderedDict()
        """Pending IN transfers: seqnum, size."""

    def plug(self) -> int:
        """Attach to the first free port; returns its number."""
        if not VHCI.exists():
            subprocess.run(["modprobe", "vhci-hcd"], check=True)
        for line in (VHCI / "status").read_text().splitlines()[1:]:
            hub, port, state = line.split()[:3]
            if hub == "hs" and int(state) == 4:
                break
        else:
            raise OSError("no free vhci port")
        ours, kernels = socket.socketpair()
        self._waiting.clear()
        self._forget()
        self._cable = ours
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()
        with kernels:
            speed = HIGH_SPEED if self.fd else FULL_SPEED
            (VHCI / "attach").write_text(f"{int(port)} {kernels.fileno()} {0x10002} {speed}")
        return int(port)

    def unplug(self) -> None:
        with self._lock:
            cable, self._cable = self._cable, None
            self._unplugged()
        if cable:
            with contextlib.suppress(OSError):
                cable.shutdown(socket.SHUT_RDWR)
            cable.close()

    @property
    def plugged(self) -> bool:
        return self._cable is not None

    def _serve(self, cable: socket.socket) -> None:
        stream = cable.makefile("rb")
        with contextlib.suppress(OSError, ValueError):
            while len(head := stream.read(HEADER.size)) == HEADER.size:
                command, seq, _, into_host, endpoint, rest = HEADER.unpack(head)
                if command == CMD_UNLINK:
                    with self._lock:
                        known = self._waiting.pop(struct.unpack(">I", rest[:4])[0], None)
                        self._reply(RET_UNLINK, seq, 0 if known is None else ECONNRESET)
                    continue
                _, length, _, _, _, setup = SUBMIT.unpack(rest)
                data = b"" if into_host else stream.read(length)
                with self._lock:
                    if endpoint == 0:
                        self._submit_control(seq, setup, data, length if into_host else None)
                    elif into_host:
                        self._waiting[seq] = length
                        self._pump()
                    else:
                        self._reply(RET_SUBMIT, seq, 0, size=length)
                        self._from_host(data)
        if self._cable is cable:
            self.unplug()

    def _submit_control(self, seq: int, setup: bytes, data: bytes, wanted: int | None) -> None:
        """Answer with at most `wanted` bytes; None if the request carries `data`."""
        answer = self.control(setup, data)
        if answer is None:
            self._reply(RET_SUBMIT, seq, EPIPE)
        elif wanted is None:
            self._reply(RET_SUBMIT, seq, 0, size=len(data))
        else:
            self._reply(RET_SUBMIT, seq, 0, answer[:wanted])

    def _reply(self, command: int, seq: int, status: int, data: bytes = b"", size: int | None = None) -> None:
        if self._cable:
            size = len(data) if size is None else size
            with contextlib.suppress(OSError):
                self._cable.sendall(REPLY.pack(command, seq, 0, 0, 0, status, size, 0, 0, 0) + data)

    def _pump(self) -> None:
        """Answer waiting IN transfers with queued frames."""
        while self._fifo and self._waiting and not self.stalled:
            seq, length = self._waiting.popitem(last=False)
            self._reply(RET_SUBMIT, seq, 0, self._fifo.popleft()[:length])


class Bridge:
    """Makes a SocketCAN interface the adapter's CAN bus."""

    def __init__(self, adapter: EmulatedGsUsb, interface: str) -> None:
        self.adapter = adapter
        self.raw = socket.socket(socket.PF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self.raw.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        self.raw.setsockopt(socket.SOL_CAN_RAW, 2, 0x1FFFFFFF)  # CAN_RAW_ERR_FILTER
        self.raw.bind((interface,))
        adapter.on_sent = self.send
        threading.Thread(target=self.read, daemon=True).start()

    def send(self, _channel: int, sent: Frame) -> None:
        flags = (sent.flags & FLAG_BRS) >> 2
        size = 64 if sent.flags & FLAG_FD else 8
        self.raw.send(
            struct.pack("=IBBxx", sent.can_id, len(sent.data), flags) + sent.data.ljust(size, b"\0")
        )

    def read(self) -> None:
        while True:
            data = self.raw.recv(72)
            can_id, size, flags = struct.unpack_from("=IBB", data)
            fd = FLAG_FD | ((flags & 1) * FLAG_BRS) if len(data) == 72 else 0
            self.adapter.receive(frame(can_id, data[8 : 8 + size], fd))


class Stream(threading.Thread):
    """Frames at a steady rate on every channel: id 0x100, a u32 counter."""

    def __init__(self, adapter: EmulatedGsUsb, rate: float) -> None:
        super().__init__(daemon=True)
        self.adapter, self.rate, self.count = adapter, rate, 0

    def run(self) -> None:
        due = time.monotonic()
        while True:
            time.sleep(0.002 if self.rate else 0.05)
            now = time.monotonic()
            due = max(due, now - 0.2)  # never a burst after a pause
            while self.rate and due < now:
                due += 1 / self.rate
                numbered = frame(0x100, struct.pack(">I4x", self.count))
                for channel in range(len(self.adapter.channels)):
                    self.adapter.receive(numbered, channel)
                self.count = self.count + 1 & 0xFFFFFFFF


def obey(adapter: UsbIpAdapter, stream: Stream, line: str) -> bool:
    """Execute a command; return False to end."""
    match line.split():
        case ["frame", text]:
            adapter.receive(parse(text))
        case ["error", kind, *data]:
            payload = bytes.fromhex(data[0]) if data else b""
            adapter.receive(frame(ERR | int(kind, 16), payload.ljust(8, b"\0")))
        case ["rate", rate]:
            stream.rate = float(rate)
        case ["stall", switch]:
            adapter.stall(switch == "on")
        case ["unplug"]:
            adapter.unplug()
        case ["plug"]:
            adapter.plug()
        case ["status"]:
            print(json.dumps(status(adapter)), flush=True)
        case ["quit"]:
            return False
        case _:
            print(f"unknown: {line}", file=sys.stderr)
    return True


def status(adapter: EmulatedGsUsb) -> dict[str, object]:
    return {
        "plugged": adapter.plugged,
        "sent": adapter.sent,
        "received": adapter.received,
        "lost": adapter.lost,
        "channels": [vars(channel) for channel in adapter.channels],
    }


def control(path: str) -> int:
    """Open a FIFO, which is made if necessary and stays open while writers come and go."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path)
    return os.open(path, os.O_RDWR)


def follow(adapter: UsbIpAdapter, stream: Stream, steer: int, end: float | None) -> None:
    """Execute the lines that arrive at `steer`, until `end` on the monotonic clock."""
    buffer, reading = b"", True
    while end is None or time.monotonic() < end:
        if not reading:
            time.sleep(0.2)
            continue
        if not select.select([steer], [], [], 0.2)[0]:
            continue
        data = os.read(steer, 4096)
        reading = bool(data)
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            try:
                if line.strip() and not obey(adapter, stream, line.decode()):
                    return
            except (ValueError, IndexError, OSError) as error:
                print(f"{line.decode()}: {error}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--bridge", metavar="CANIF")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--fd", action="store_true")
    parser.add_argument("--serial", default="LAB0001")
    parser.add_argument("--control", metavar="FIFO")
    parser.add_argument("--for", type=float, dest="seconds", metavar="S", help="end after S seconds")
    args = parser.parse_args()
    adapter = UsbIpAdapter(args.channels, fd=args.fd, serial=args.serial)
    if args.bridge:
        Bridge(adapter, args.bridge)
    stream = Stream(adapter, args.rate)
    stream.start()
    print(f"plugged in at vhci port {adapter.plug()}", flush=True)
    end = time.monotonic() + args.seconds if args.seconds else None
    with contextlib.suppress(KeyboardInterrupt):
        follow(adapter, stream, control(args.control) if args.control else 0, end)
    adapter.unplug()


if __name__ == "__main__":
    main()
