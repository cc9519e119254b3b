# SPDX-License-Identifier: BSD-3-Clause
"""
How long the long tests are: in `make test`, and whole, in `make soak`.

Each has one parameter, an environment variable; without it a test is short.
"""

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class Length:
    """A long test's parameter, and what it counts."""

    variable: str
    short: int
    full: int
    what: str
    tests: str  # pytest's arguments, or a command
    minutes: int  # the full length takes less

    def get(self):
        return int(os.environ.get(self.variable, self.short))


LENGTHS = [
    Length("NMX_FRAMES", 100_000, 10_000_000, "audited frames of all sizes, each way of passing",
           "tests/e2e/test_traffic.py -k stream_is_clean or back_is_clean", 20),
    Length("NMX_KILLS", 20, 200, "kills of a guest under a forwarding host",
           "tests/e2e/test_life.py -k killed_light_guests", 10),
    Length("NMX_HOST_KILLS", 3, 100, "kills of a host beside a forwarding guest",
           "tests/e2e/test_life.py -k survives_the_death", 20),
    Length("NMX_INTERRUPT_FRAMES", 10_000, 1_000_000, "single frames by interrupt, none lost",
           "tests/e2e/test_interrupts.py -k woken_for_each", 40),
    Length("NMX_VM_INTERRUPT_FRAMES", 2000, 100_000, "the same, in a virtual machine",
           "tests/vm/test_interrupts.py -k guest_is_woken", 40),
    Length("NMX_VM_PULSES", 1000, 50_000, "single frames with pauses to l3fwd-power in a machine",
           "tests/vm/test_interrupts.py -k l3fwd_power", 40),
    Length("NMX_RECONNECTS", 10, 1000, "reconnects under a forwarding program",
           "tests/e2e/test_life.py -k reconnects", 20),
    Length("NMX_CHURNS", 30, 300, "times that a guest's memory grows and shrinks under load",
           "tests/e2e/test_memory_modes.py -k comes_and_goes", 10),
    Length("NMX_HOSTILE", 0, 1, "exhaustive runs of all attacks (docs/hostile.md)",
           "tests/hostile tests/e2e/test_mux_faults.py -k test", 60),
    Length("NMX_SANITIZED", 0, 1, "runs of all whole programs with sanitized plugins",
           "make e2e-asan", 20),
    Length("NMX_MUX_STREAMS", 20, 2000, "streams of each of six guests and the wire through nicmuxd",
           "tests/e2e/test_mux.py -k lose_nothing", 20),
    Length("NMX_CROWD_STREAMS", 2, 20, "streams of each of 128 guests and the wire through nicmuxd",
           "tests/e2e/test_mux_crowd.py -k among_128", 40),
    Length("NMX_MUX_KILLS", 5, 200, "kills of a guest of nicmuxd beside audited streams",
           "tests/e2e/test_mux_crowd.py -k killed_guests", 20),
    Length("NMX_MUX_ATTACHES", 5, 1000, "times that a guest attaches to nicmuxd beside audited streams",
           "tests/e2e/test_mux_crowd.py -k attach_and_detach", 20),
    Length("NMX_MUX_RESTARTS", 2, 50, "kills of nicmuxd under its guests",
           "tests/e2e/test_mux_crowd.py -k killed_daemon", 20),
    Length("NMX_FORGED_FRAMES", 50_000, 1_000_000, "frames with a source address forged while it is read, to each",
           "tests/e2e/test_mux_hostile.py -k forged", 20),
    Length("NMX_DMA_COMINGS", 4, 200, "kills of a guest whose memory is mapped for a NIC",
           "tests/e2e/test_mapping_dma.py -k memory_that_goes", 20),
    Length("NMX_PLUGS", 2, 50, "times that a device is plugged in, used and unplugged, below each driver",
           "tests/vm/test_device.py -k comes_and_goes", 40),
    Length("NMX_REBINDS", 20, 1000, "times that a machine's kernel lets its virtio device go",
           "tests/vm/test_virtio.py -k lets_go", 40),
    Length("NMX_VIRTIO_FORMS", 14, 192, "forms of stock virtio guests, each with an audited stream",
           "tests/e2e/test_iovtee.py -k stream", 20),
    Length("NMX_VIRTIO_KILLS", 5, 200, "kills of a stock virtio guest, and of its host, under load",
           "tests/e2e/test_iovtee_life.py -k killed", 40),
    Length("NMX_SWITCHES", 30, 1000, "times that a queue is switched from mapping to copies and back",
           "tests/e2e/test_mapping.py -k switching", 20),
    Length("FUZZ_SECONDS", 60, 120, "seconds of each fuzz target", "devtools/fuzz", 20),
]


def get_length(variable):
    """The length that a test has now."""
    return next(length for length in LENGTHS if length.variable == variable).get()
