"""What error frames tell of a controller: its state, its overflows, how long it has been bus-off. Pure.

The layout is that of linux/can/error.h, which gs_usb adapters use on the wire too: the class of the
error in the arbitration id, the controller's state in the second byte of the payload.
"""

from __future__ import annotations

_ERR_CRTL = 0x04
_ERR_BUSOFF = 0x40
_ERR_RESTARTED = 0x100
_CRTL_RX_OVERFLOW = 0x01
_CRTL_WARNING = 0x04 | 0x08
_CRTL_PASSIVE = 0x10 | 0x20
_CRTL_ACTIVE = 0x40

BUS_OFF_PATIENCE_S = 1.0
"""A controller that restarts itself (restart-ms, or automatic recovery in firmware) does so within this."""


class ErrorFrames:
    """Error frames in, counts and the controller's state out: what decoders of CAN frames have in common."""

    def __init__(self, controller: str | None = None) -> None:
        self.error_frames = 0
        self.overflows = 0
        """RX overflows of the controller or its driver, each at least one frame."""
        self.controller = controller

    def error_frame(self, can_id: int, payload: bytes) -> None:
        """One error frame: its id with or without flag bits, its 8 bytes."""
        self.error_frames += 1
        if can_id & _ERR_CRTL:
            detail = payload[1]
            self.overflows += detail & _CRTL_RX_OVERFLOW
            if detail & _CRTL_PASSIVE:
                self.controller = "error-passive"
            elif detail & _CRTL_WARNING:
                self.controller = "error-warning"
            elif detail & _CRTL_ACTIVE:
                self.controller = "error-active"
        if can_id & _ERR_BUSOFF:
            self.controller = "bus-off"
        if can_id & _ERR_RESTARTED:
            self.controller = "error-active"


class BusOffWatch:
    """Gives a controller that is bus-off a while to come back. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.restarts_after_s = 0.0
        """Where the kernel restarts it (restart-ms): the delay before it does."""
        self._since_s: float | None = None

    def due(self, now_s: float) -> float | None:
        """In how many seconds the patience ends; None while the controller is on the bus."""
        return None if self._since_s is None else self._since_s + self._patience_s() - now_s

    def expired(self, controller: str | None, now_s: float) -> bool:
        """True once the controller has been bus-off for too long."""
        if controller != "bus-off":
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        return self._since_s is not None and now_s - self._since_s >= self._patience_s()

    def _patience_s(self) -> float:
        return self.restarts_after_s + BUS_OFF_PATIENCE_S
