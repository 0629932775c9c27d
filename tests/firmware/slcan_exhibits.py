"""The slcan firmware of the museum. Pure: declarations."""

from __future__ import annotations

from tests.firmware.slcan_board import SlcanExhibit, milliseconds, plain_line

EVERY_FRAME = "running; every frame, at its time"
NO_CLOCK = "clock: not used: it does not run at the host's rate (…)"


_NO_ANSWERS = dict.fromkeys((b"C", b"S", b"Z", b"V", b"N", b"O", b"L", b"F", b""), b"")
_BOOT = b"".join(b"I (%d) boot: stage %d\r\n" % (300 + 7 * number, number) for number in range(20))
_SENTENCE = b"$GPRMC,081836,A,3751.65,S,14507.36,E,000.0,360.0,130998,011.3,E*62\r\n"


def _grouped(number: int, stamp: bytes) -> bytes:
    return b"t 100 8 %08X %08X " % (0, number) + stamp


SET_UP = (
    SlcanExhibit(
        name="restarts",
        symptom="The board restarts when its port is opened, is deaf for 1.2 s, and prints its name at 1.1 s.",
        came=EVERY_FRAME,
        deaf_s=1.2,
        banner=(1.1, b"some-firmware 1.0 ready\r\n"),
        seconds=4,
    ),
    SlcanExhibit(
        name="restarts slowly",
        symptom="The same, deaf for 2.8 s, and many boot messages.",
        came=EVERY_FRAME,
        deaf_s=2.8,
        banner=(0.3, _BOOT),
        seconds=4,
    ),
    SlcanExhibit(
        name="boot message",
        symptom="A boot message arrives when the answer to the bitrate is due.",
        came=EVERY_FRAME,
        said="…",
        banner=(0.35, b"I (352) boot: start\r\n"),
    ),
    SlcanExhibit(
        name="late",
        symptom="Answers come 0.35 s late.",
        came=EVERY_FRAME,
        answers_after_s=0.35,
    ),
    SlcanExhibit(
        name="very late",
        symptom="Answers come 1.5 s late.",
        came=EVERY_FRAME,
        answers_after_s=1.5,
    ),
    SlcanExhibit(
        name="silent",
        symptom="No command is ever answered.",
        came=EVERY_FRAME,
        said="unacknowledged: S6, O",
        answers=_NO_ANSWERS,
    ),
    SlcanExhibit(
        name="version only",
        symptom="Only V is answered, by a text with tabs that does not begin with V.",
        came=EVERY_FRAME,
        said="unacknowledged: S6, O",
        answers={**_NO_ANSWERS, b"V": b"CAN adapter\t2.5\tslcan\r"},
    ),
    SlcanExhibit(
        name="silent on a silent bus",
        symptom="No command is ever answered, and no frame comes.",
        came="waiting; no frame",
        said="PORT: nothing acknowledged; no frame yet. Check channel, bitrate and wiring; …",
        answers=_NO_ANSWERS,
        rate=0,
        seconds=12,
    ),
    SlcanExhibit(
        name="left open",
        symptom="The adapter is still open with another bitrate, and streams.",
        came=EVERY_FRAME,
        streams_already=True,
    ),
    SlcanExhibit(
        name="echo",
        symptom="Every command is echoed.",
        came=EVERY_FRAME,
        echoes=True,
    ),
    SlcanExhibit(
        name="echo and println",
        symptom="Every command is echoed, and answers end with CR LF.",
        came=EVERY_FRAME,
        echoes=True,
        line_end=b"\r\n",
    ),
    SlcanExhibit(
        name="one command a packet",
        symptom="Only the first command of a USB packet is run.",
        came=EVERY_FRAME,
        first_of_a_write=True,
    ),
    SlcanExhibit(
        name="few commands",
        symptom="Z, V, N and F are refused.",
        came=EVERY_FRAME,
        answers=dict.fromkeys((b"Z", b"V", b"N", b"F"), b"\x07"),
    ),
    SlcanExhibit(
        name="ignores what it does not know",
        symptom="C, Z, V, N and F are not answered.",
        came=EVERY_FRAME,
        answers=dict.fromkeys((b"C", b"Z", b"V", b"N", b"F"), b""),
    ),
    SlcanExhibit(
        name="late and refusing what it does not know",
        symptom="Answers come 0.35 s late, and C is refused while the adapter is closed.",
        came=EVERY_FRAME,
        answers={b"V": b"\a", b"N": b"\a", b"Z": b"\a"},
        answers_after_s=0.35,
    ),
    SlcanExhibit(
        name="log of the firmware",
        symptom="The firmware writes its log all the time, from the beginning.",
        came=EVERY_FRAME,
        said="errors counted",
        babble=(0.4, b"W (1352) can: queue 3/32\r\n"),
        seconds=4,
    ),
    SlcanExhibit(
        name="other bitrates",
        symptom="The bitrate is refused.",
        came="failed; no frame",
        said="the adapter at PORT refuses S6 (bitrate). Use another setting, or check its firmware.",
        answers={b"S": b"\a"},
    ),
    SlcanExhibit(
        name="cannot listen only",
        symptom="L is refused.",
        came="failed; no frame",
        said="the adapter at PORT refuses L (listen_only). Use another setting, or check its firmware.",
        answers={b"L": b"\a"},
        keys={"listen_only": True},
    ),
)

FRAMES = (
    SlcanExhibit(
        name="by the book",
        symptom="None: what the manual of 2003 describes.",
        came=EVERY_FRAME,
    ),
    SlcanExhibit(
        name="println",
        symptom="Lines and answers end with CR LF.",
        came=EVERY_FRAME,
        line_end=b"\r\n",
    ),
    SlcanExhibit(
        name="grouped",
        symptom="Blanks between the fields of a frame.",
        came=EVERY_FRAME,
        line=_grouped,
    ),
    SlcanExhibit(
        name="padded",
        symptom="USB packets are filled up with NUL bytes.",
        came=EVERY_FRAME,
        before_frame=lambda _number: bytes(40),
    ),
    SlcanExhibit(
        name="line feeds",
        symptom="Lines and answers end with LF alone.",
        came=EVERY_FRAME,
        said="unacknowledged: S6",
        line_end=b"\n",
    ),
    SlcanExhibit(
        name="flow control",
        symptom="XON and XOFF stand between the frames.",
        came=EVERY_FRAME,
        before_frame=lambda number: b"\x11" if number % 2 else b"\x13",
    ),
    SlcanExhibit(
        name="long codes",
        symptom="The DLC of a frame with eight bytes is F.",
        came=EVERY_FRAME,
        line=lambda number, stamp: b"t100F%016X" % number + stamp,
    ),
    SlcanExhibit(
        name="lost line ends",
        symptom="The line end between a frame and a remote frame is lost now and then.",
        came=EVERY_FRAME,
        said="remote frames counted",
        line=lambda number, stamp: plain_line(number, stamp) + (b"" if number % 10 else b"r1230"),
    ),
    SlcanExhibit(
        name="short stamps",
        symptom="Time stamps have no leading zeros.",
        came=EVERY_FRAME,
        said="unusable_stamps: …",
        stamp=lambda number, now_s: b"%X" % (round(now_s * 1000) % (60_000 if number % 2 else 4000)),
    ),
    SlcanExhibit(
        name="log between frames",
        symptom="The firmware writes its log between the frames.",
        came=EVERY_FRAME,
        said="errors counted",
        before_frame=lambda number: b"" if number % 10 else b"I (352) can: bus ok, 100 frames\r\n",
    ),
    SlcanExhibit(
        name="break",
        symptom="The line is held down for a while: thousands of NUL bytes.",
        came=EVERY_FRAME,
        said="errors counted",
        before_frame=lambda number: b"" if number % 25 else bytes(2000),
    ),
    SlcanExhibit(
        name="wrong tty speed",
        symptom="Bytes that are no text now and then.",
        came=EVERY_FRAME,
        said="errors counted",
        before_frame=lambda number: b"" if number % 10 else b"\xfe\x8c\xe0\xff\r",
    ),
    SlcanExhibit(
        name="lower case",
        symptom="Digits in lower case.",
        came=EVERY_FRAME,
        line=lambda number, stamp: b"t1008%016x" % number + stamp.lower(),
    ),
    SlcanExhibit(
        name="remote with data",
        symptom="Remote frames carry the data of the last buffer.",
        came=EVERY_FRAME,
        said="remote frames counted",
        before_frame=lambda number: b"" if number % 10 else b"r12381122334455667788\r",
    ),
    SlcanExhibit(
        name="wide stamps",
        symptom="Time stamps of eight digits.",
        came=EVERY_FRAME,
        said="unusable_stamps: …",
        stamp=lambda _number, now_s: b"%08X" % (round(now_s * 1e6) & 0xFFFF_FFFF),
    ),
    SlcanExhibit(
        name="half of the stamps",
        symptom="Only every second frame has a time stamp.",
        came=EVERY_FRAME,
        stamp=lambda number, now_s: milliseconds(number, now_s) if number % 2 else b"",
    ),
    SlcanExhibit(
        name="cut lines",
        symptom="Now and then the rest of a line is missing.",
        came=EVERY_FRAME,
        said="errors counted",
        before_frame=lambda number: b"" if number % 10 else b"t10082211\r",
    ),
)

CLOCKS = (
    SlcanExhibit(
        name="16 bits",
        symptom="Time stamps count on behind 60,000, to the end of 16 bits.",
        came=EVERY_FRAME,
        said="unusable_stamps: 1",
        stamp=lambda number, _now_s: b"%04X" % ((59_500 + 20 * number) & 0xFFFF),
    ),
    SlcanExhibit(
        name="frame counter",
        symptom="Time stamps count frames.",
        came=EVERY_FRAME,
        said=NO_CLOCK,
        stamp=lambda number, _now_s: b"%04X" % (number % 60_000),
        seconds=6,
    ),
    SlcanExhibit(
        name="stopped clock",
        symptom="All time stamps are the same.",
        came=EVERY_FRAME,
        said=NO_CLOCK,
        stamp=lambda _number, _now_s: b"1388",
        seconds=6,
    ),
    SlcanExhibit(
        name="microseconds",
        symptom="Time stamps are the low 16 bits of a microsecond counter.",
        came=EVERY_FRAME,
        said=NO_CLOCK + "…",
        stamp=lambda _number, now_s: b"%04X" % (round(now_s * 1e6) & 0xFFFF),
        seconds=6,
    ),
    SlcanExhibit(
        name="slow ticks",
        symptom="Time stamps count 10 ms instead of 1 ms.",
        came=EVERY_FRAME,
        said=NO_CLOCK,
        stamp=lambda _number, now_s: b"%04X" % (round(now_s * 100) % 60_000),
        seconds=6,
    ),
)

NO_ADAPTERS = (
    SlcanExhibit(
        name="GPS receiver",
        symptom="Sentences with a position arrive, and nothing is answered.",
        came="waiting; no frame",
        said="PORT: nothing acknowledged; no frame yet. It sends '$GPRMC,…': if that is no slcan adapter, correct channel.…",
        answers=_NO_ANSWERS,
        rate=0,
        babble=(0.5, _SENTENCE),
        seconds=5,
    ),
    SlcanExhibit(
        name="modem",
        symptom="Every command is answered by ERROR.",
        came="waiting; no frame",
        said="PORT: nothing acknowledged; no frame yet. It sends '…ERROR…': if that is no slcan adapter, correct channel.…",
        answers=dict.fromkeys(_NO_ANSWERS, b"\r\nERROR\r\n"),
        echoes=True,
        rate=0,
        seconds=5,
    ),
    SlcanExhibit(
        name="login",
        symptom="A login prompt, which echoes what it gets.",
        came="waiting; no frame",
        said="PORT: nothing acknowledged; no frame yet. It sends '…': if that is no slcan adapter, correct channel.…",
        answers=dict.fromkeys(_NO_ANSWERS, b"\r\nPassword: \r\nLogin incorrect\r\nlogin: "),
        banner=(0.1, b"\r\nhost login: "),
        echoes=True,
        rate=0,
        seconds=5,
    ),
)
