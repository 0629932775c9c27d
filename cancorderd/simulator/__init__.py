"""The mock bus: a complete ECU, its tester and a car, simulated. Pure: time and randomness are arguments.

From the bus up:

    simulated_bus       one frame at a time, lowest arbitration id first
    isotp_frames        bytes of a single frame                          ISO 15765-2
    isotp_endpoint      complete messages, flow control
    uds                 numbers and timing shared by tester and ECU      ISO 14229-1
    ecu                 timing of the ECU's responses                    ISO 14229-2
    uds_server          content of the responses, with security_access, data_identifiers, routines,
                        flash_memory, fault_memory and obd (SAE J1979)
    tester              requests, timeouts, repetitions; performs the steps of a script
    tester_script       steps of a script; reprogramming and obd_polling are scripts, workshop runs them
    firmware_image      the image that a reprogramming session downloads
    vehicle, sensors    the car, and its sensor values in bytes; monitors: the self-tests that its drives complete
    background_traffic  all other nodes of the bus
    world               everything above on one bus, in simulated time
    flood               frames of a pattern, instead of everything above; their bytes are in flood_payloads
    narration           sentences for the log: sessions, phases, injected errors
    options, limits     options of a simulation, and their limits
    simulation          the interface: time and client count in, packets out

Sockets, clocks and clients belong to `cancorderd.adapters.mock`. "The ancestor" is the mock ECU of
cancorder_utils; its probabilities and timings were kept.
Nothing is imported here, since the supervisor needs `limits` alone.
"""
