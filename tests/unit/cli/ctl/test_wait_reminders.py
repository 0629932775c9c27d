"""When it is said again that a bus waits."""

from __future__ import annotations

from cancorderd.cli.ctl.wait_reminders import WaitReminders


def test_reminders_become_rare() -> None:
    reminders = WaitReminders(1000.0)
    moments = []
    for _ in range(5):
        moments.append(reminders.due_s - 1000.0)
        assert reminders.take(reminders.due_s) == moments[-1]
    assert moments == [10, 60, 660, 1260, 1860]


def test_missed_reminders_are_left_out() -> None:
    reminders = WaitReminders(0.0)
    assert reminders.take(700.0) == 700.0
    assert reminders.due_s == 1260.0


def test_a_frame_begins_anew() -> None:
    reminders = WaitReminders(0.0)
    reminders.take(60.0)
    reminders.restart(100.0)
    assert reminders.due_s == 110.0
