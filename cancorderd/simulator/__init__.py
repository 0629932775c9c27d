"""The mock bus: a whole ECU, its tester and a car, simulated. Pure: time and randomness are passed in.

From the bus up:

    bus         frames one at a time, the lowest id first
    isotp       what the bytes of one frame mean             ISO 15765-2
    transport   whole messages, flow control
    uds         the words that tester and ECU share          ISO 14229-1
    ecu         when the ECU answers                         ISO 14229-2
    server      what it answers; with identity, security, faults, programming, obd (SAE J1979)
    tester      requests, timeouts, repetitions; does the steps of a script
    script      what scripts are made of; session and polling are scripts, workshop runs them
    vehicle     the car; sensors says what it tells
    background  the rest of the bus
    world       all of this on one bus, in simulated time
    flood       numbered frames, in place of all of this
    simulation  the outside: time and clients in, packets out

Sockets, clocks and clients' connections are the business of `cancorderd.sources.mock`.
"""

from cancorderd.simulator.options import Options
from cancorderd.simulator.simulation import Simulation

__all__ = ["Options", "Simulation"]
