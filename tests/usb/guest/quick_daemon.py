"""The real daemon, queried over its socket: without KVM, each `cancorderctl` takes seconds to start."""

from __future__ import annotations

from typing import Any

from cancorderd.control.client import ControlClient, ControlError
from tests.support.harness import Daemon


class QuickDaemon(Daemon):
    def status(self) -> dict[str, Any]:
        return dict(ControlClient(str(self.socket)).status())

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended at once:\n{self.log.read_text()}"
        try:
            return bool(self.status())
        except ControlError:
            return False
