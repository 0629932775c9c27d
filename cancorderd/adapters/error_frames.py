"""The state of a CAN controller as it reports it: error frames, overflows, time since bus-off. Pure.

The layout is that of linux/can/error.h, which gs_usb adapters use on the wire too: the class of the
error in the arbitration id, the controller's state in the second byte of the payload.
"""

from __future__ import annotations

ERR_CRTL = 0x04
ERR_BUSOFF = 0x40
_ERR_RESTARTED = 0x100
CRTL_RX_OVERFLOW = 0x01
CRTL_WARNING = 0x04 | 0x08
_CRTL_PASSIVE = 0x10 | 0x20
CRTL_ACTIVE = 0x40

BUS_OFF = "bus-off"
BUS_OFF_PATIENCE_S = 1.0
"""A controller that restarts itself (restart-ms, or automatic recovery in firmware) does so within this."""


class ReportedController:
    """The state that a controller reports, corrected by the frames that it receives.

    No controller receives frames while it is bus-off (ISO 11898-1). Some firmware and drivers report bus-off and never its
    end, so a frame that was received afterwards is the better proof.
    """

    def __init__(self, controller: str | None = None) -> None:
        self.controller = controller
        self._refuted = False

    def report(self, state: str | None) -> None:
        """Take the state that the controller is in now, asked for again and again.

        A bus-off that was refuted is ignored until another state or a new event has been reported.
        """
        if state == BUS_OFF and self._refuted:
            return
        self._refuted = False
        self.controller = state

    def enter_bus_off(self) -> None:
        """Take note of an event: the controller has just gone bus-off."""
        self._refuted = False
        self.controller = BUS_OFF

    def refute_bus_off(self) -> None:
        """Take note that a frame was received after bus-off was reported: a controller comes back error-active."""
        if self.controller == BUS_OFF:
            self._refuted = True
            self.controller = "error-active"


class ErrorFrameCounter(ReportedController):
    """Error frames in, counts and the controller's state out: the base of decoders of SocketCAN's frames."""

    def __init__(self, controller: str | None = None) -> None:
        super().__init__(controller)
        self.error_frames = 0
        self.overflows = 0
        """RX overflows of the controller or its driver; each lost at least one frame."""

    def count_error_frame(self, can_id: int, payload: bytes) -> None:
        """Count an error frame, given its id with or without flag bits and its 8 bytes."""
        self.error_frames += 1
        if can_id & ERR_CRTL:
            detail = payload[1]
            self.overflows += detail & CRTL_RX_OVERFLOW
            if detail & _CRTL_PASSIVE:
                self.controller = "error-passive"
            elif detail & CRTL_WARNING:
                self.controller = "error-warning"
            elif detail & CRTL_ACTIVE:
                self.controller = "error-active"
        if can_id & ERR_BUSOFF:
            self.enter_bus_off()
        if can_id & _ERR_RESTARTED:
            self.controller = "error-active"


class BusOffPatience:
    """Gives a controller that is bus-off a while to come back. Times are monotonic seconds."""

    def __init__(self, patience_s: float = BUS_OFF_PATIENCE_S) -> None:
        self.restarts_after_s = 0.0
        """Delay before the kernel restarts the controller (restart-ms); 0 if it does not."""
        self._least_s = patience_s
        self._since_s: float | None = None

    def due(self, now_s: float) -> float | None:
        """Return in how many seconds the patience ends; None if the controller is on the bus."""
        return None if self._since_s is None else self._since_s + self._patience_s() - now_s

    def expired(self, controller: str | None, now_s: float) -> bool:
        """Return whether the controller has been bus-off for too long."""
        if controller != BUS_OFF:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        return self._since_s is not None and now_s - self._since_s >= self._patience_s()

    def _patience_s(self) -> float:
        return self.restarts_after_s + self._least_s
