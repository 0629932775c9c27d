"""Table of the ECU's responses: every service, positive and negative (ISO 14229-1:2013).

A row is a state of `ServerBench`, a request, and the start of the response. If it ends with a full stop, it is
the complete response; an empty string means no response.
"""

from __future__ import annotations

from cancorderd.simulator.data_identifiers import VIN
from tests.unit.simulator.server_bench import BLOCKS, CHECK, DOWNLOAD, ERASE

BLOCK_1 = (b"\x36\x01" + BLOCKS[0]).hex(" ")
BLOCK_2 = (b"\x36\x02" + BLOCKS[1]).hex(" ")
BLOCK_3 = (b"\x36\x03" + BLOCKS[2]).hex(" ")

CASES = [
    # DiagnosticSessionControl
    ("default", "10 01", "50 01 00 32 01 f4."),
    ("default", "10 03", "50 03 00 32 01 f4."),
    ("extended", "10 02", "50 02 00 32 01 f4."),
    ("programming", "10 02", "50 02"),
    ("programming", "10 01", "50 01"),
    ("default", "10 83", ""),
    ("default", "10 02", "7f 10 7e."),
    ("default", "10 82", "7f 10 7e."),
    ("default", "10 04", "7f 10 12."),
    ("default", "10", "7f 10 13."),
    ("default", "10 03 00", "7f 10 13."),
    # ECUReset
    ("default", "11 01", "51 01."),
    ("programming", "11 03", "51 03."),
    ("default", "11 81", ""),
    ("default", "11 02", "7f 11 12."),
    ("default", "11 01 00", "7f 11 13."),
    ("driving", "11 01", "7f 11 22."),
    # ClearDiagnosticInformation
    ("faulty", "14 ff ff ff", "54."),
    ("faulty", "14 ff ff 33", "54."),
    ("faulty", "14 03 00 00", "54."),
    ("default", "14 12 34 56", "7f 14 31."),
    ("default", "14 ff ff", "7f 14 13."),
    # ReadDTCInformation
    ("default", "19 01 08", "59 01 ff 01 00 00."),
    ("default", "19 02 08", "59 02 ff."),
    ("default", "19 0a", "59 0a ff 03 00 00 50 01 71 00 50 04 20 00 50"),
    ("default", "19 04 03 00 00 ff", "59 04 03 00 00 50."),
    ("default", "19 04 03 00 01 ff", "7f 19 31."),
    ("default", "19 04 03 00 00 02", "7f 19 31."),
    ("default", "19 04 03 00 00", "7f 19 13."),
    ("default", "19 02", "7f 19 13."),
    ("default", "19 0a 00", "7f 19 13."),
    ("default", "19 03", "7f 19 12."),
    ("default", "19", "7f 19 13."),
    # ReadDataByIdentifier
    ("default", "22 f1 90", "62 f1 90 " + VIN.hex(" ") + "."),
    ("default", "22 f1 8c", "62 f1 8c " + b"ECU12345678".hex(" ") + "."),
    ("default", "22 f1 95", "62 f1 95 " + b"SW_V02.15.003".hex(" ") + "."),
    ("default", "22 f1 93", "62 f1 93 " + b"HW_REV_C".hex(" ") + "."),
    ("default", "22 f1 87", "62 f1 87 " + b"PART_1K0907115B".hex(" ") + "."),
    ("default", "22 f4 0c", "62 f4 0c 00 00."),
    ("default", "22 f4 05 12 34 f4 0d", "62 f4 05"),
    ("default", "22 12 34", "7f 22 31."),
    ("default", "22", "7f 22 13."),
    ("default", "22 f1", "7f 22 13."),
    ("default", "22" + " f1 90" * 9, "7f 22 13."),
    # SecurityAccess
    ("programming", "27 11", "67 11"),
    ("unlocked", "27 11", "67 11 00 00 00 00."),
    ("default", "27 11", "7f 27 7f."),
    ("extended", "27 11", "7f 27 7e."),
    ("programming", "27 01", "7f 27 12."),
    ("programming", "27 11 00", "7f 27 13."),
    ("programming", "27 12 00 00 00 00", "7f 27 24."),
    ("seeded", "27 12 00 00 00", "7f 27 13."),
    ("seeded", "27 12 00 00 00 00", "7f 27 35."),
    # CommunicationControl
    ("extended", "28 03 01", "68 03."),
    ("extended", "28 00 03", "68 00."),
    ("programming", "28 81 01", ""),
    ("default", "28 03 01", "7f 28 7f."),
    ("extended", "28 04 01", "7f 28 12."),
    ("extended", "28 03", "7f 28 13."),
    ("extended", "28 03 04", "7f 28 31."),
    # WriteDataByIdentifier
    ("unlocked", "2e f1 5a 01 02 03 04 05 06 07 08 09", "6e f1 5a."),
    ("default", "2e f1 5a 01 02 03 04 05 06 07 08 09", "7f 2e 7f."),
    ("extended", "2e f1 5a 01 02 03 04 05 06 07 08 09", "7f 2e 33."),
    ("extended", "2e f1 90 01", "7f 2e 31."),
    ("extended", "2e f1 5a 01", "7f 2e 13."),
    ("extended", "2e f1 5a", "7f 2e 13."),
    # RoutineControl
    ("extended", "31 01 02 03", "71 01 02 03 00."),
    ("checked", "31 03 02 03", "71 03 02 03 00."),
    ("unlocked", ERASE.hex(), "71 01 ff 00 00."),
    ("exited", CHECK.hex(), "71 01 ff 01 00."),
    ("programmed", "31 03 ff 01", "71 03 ff 01 00."),
    ("erased", CHECK.hex(), "71 01 ff 01 01."),
    ("begun", CHECK.hex(), "71 01 ff 01 01."),
    ("default", "31 01 02 03", "7f 31 7f."),
    ("idling", "10 03", "50 03"),
    ("extended", "31 02 02 03", "7f 31 12."),
    ("extended", "31 01 02", "7f 31 13."),
    ("extended", "31 01 02 03 00", "7f 31 13."),
    ("checked", "31 03 02 03 00", "7f 31 13."),
    ("extended", "31 03 02 03", "7f 31 24."),
    ("extended", "31 01 ff 02", "7f 31 31."),
    ("extended", ERASE.hex(), "7f 31 22."),
    ("programming", ERASE.hex(), "7f 31 33."),
    ("programming", CHECK.hex(), "7f 31 33."),
    ("unlocked", "31 01 ff 00 44 00 08 00 00 00 04 00", "7f 31 13."),
    ("unlocked", "31 01 ff 00 44 00 08 00 00 00 08 00 00", "7f 31 31."),
    ("unlocked", "31 01 ff 00 22 00 08 00 00 00 08 00 00", "7f 31 31."),
    # RequestDownload
    ("erased", DOWNLOAD.hex(), "74 20 00 42."),
    ("extended", DOWNLOAD.hex(), "7f 34 7f."),
    ("programming", DOWNLOAD.hex(), "7f 34 33."),
    ("unlocked", DOWNLOAD.hex(), "7f 34 22."),
    ("downloading", DOWNLOAD.hex(), "7f 34 22."),
    ("erased", "34 00 44 00 08 00 00", "7f 34 13."),
    ("erased", "34 11 44 00 08 00 00 00 00 01 2c", "7f 34 31."),
    ("erased", "34 00 22 00 08 00 00 00 00 01 2c", "7f 34 31."),
    ("erased", "34 00 44 00 07 00 00 00 00 01 2c", "7f 34 31."),
    ("erased", "34 00 44 00 08 00 00 00 04 00 01", "7f 34 31."),
    ("erased", "34 00 44 00 08 00 00 00 00 00 00", "7f 34 31."),
    # TransferData
    ("downloading", BLOCK_1, "76 01."),
    ("begun", BLOCK_2, "76 02."),
    ("begun", BLOCK_1, "76 01."),
    ("extended", BLOCK_1, "7f 36 7f."),
    ("erased", BLOCK_1, "7f 36 24."),
    ("transferred", "36 06 00", "7f 36 71."),
    ("downloading", BLOCK_2, "7f 36 73."),
    ("downloading", "36 00 00", "7f 36 73."),
    ("begun", BLOCK_3, "7f 36 73."),
    ("begun", "36 02", "7f 36 13."),
    ("begun", "36 02" + " 00" * 65, "7f 36 13."),
    # RequestTransferExit
    ("transferred", "37", "77."),
    ("extended", "37", "7f 37 7f."),
    ("erased", "37", "7f 37 24."),
    ("begun", "37", "7f 37 24."),
    ("exited", "37", "7f 37 24."),
    ("transferred", "37 00", "7f 37 13."),
    # TesterPresent
    ("default", "3e 00", "7e 00."),
    ("programming", "3e 00", "7e 00."),
    ("default", "3e 80", ""),
    ("default", "3e 01", "7f 3e 12."),
    ("default", "3e 00 00", "7f 3e 13."),
    ("default", "3e", "7f 3e 13."),
    # ControlDTCSetting
    ("extended", "85 02", "c5 02."),
    ("programming", "85 01", "c5 01."),
    ("default", "85 02", "7f 85 7f."),
    ("extended", "85 03", "7f 85 12."),
    ("extended", "85 02 00", "7f 85 13."),
    # Unsupported services
    ("default", "23 00", "7f 23 11."),
    ("default", "86 00", "7f 86 11."),
    # OBD-II is available in the default session only
    ("default", "01 0d", "41 0d 00."),
    ("default", "03", "43 00."),
    ("extended", "03", "7f 03 7f."),
    ("default", "03 00", "7f 03 13."),
    ("default", "02", "7f 02 11."),
]

# Requests to all ECUs.
FUNCTIONAL = [
    ("default", "3e 00", "7e 00"),
    ("default", "10 03", "50 03"),
    ("default", "10", "7f 10 13"),  # a wrong length of a supported service is reported
    ("default", "10 04", ""),  # subFunctionNotSupported and the next four codes are not
    ("default", "10 02", ""),
    ("default", "27 11", ""),
    ("default", "22 12 34", ""),
    ("default", "23", ""),
    ("default", "02", ""),
    ("default", "01 0b", ""),
    ("extended", "03", ""),
]
