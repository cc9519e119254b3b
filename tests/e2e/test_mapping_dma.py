# SPDX-License-Identifier: BSD-3-Clause
"""
Guests' memory for a NIC behind an IOMMU.

The test NIC with dma= reaches EAL's memory and what its driver was told to map, in a table of so
many maps. It tells of a buffer that it can't reach, and of memory that is taken from it while it
has buffers there.
"""

from lengths import get_length
from test_mapping import FLOOD, STREAM, TIMEOUT_S, ask_map, count_mapped_share, start_mapped_host
from testpmd import wait_until

COMINGS = get_length("NMX_DMA_COMINGS")
FAULTS = ["isn't mapped for the device", "memory is unmapped for the device", "was never mapped"]


def expect_no_fault(host):
    assert not [fault for fault in FAULTS if fault in host.text()]


def test_memory_is_mapped_for_the_device_before_it_is_lent(rig, kind):
    host = start_mapped_host(rig, rig.tnic(ring=256, dma=1024, **STREAM))
    rig.guest(args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    assert host.xstats(0)["to_guest_frames"] == stream.sent
    assert count_mapped_share(host) > 0.99
    expect_no_fault(host)


def test_memory_that_cant_be_mapped_for_the_device_gets_copies(rig):
    host = start_mapped_host(rig, rig.tnic(ring=256, dma=1, **STREAM), tiny=True)
    # Two files of memory or more, of which all but one are refused.
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert "can't be mapped for the uplink's device (No space left on device)" in host.text()
    counters = ask_map(host)
    assert counters["own_no_dma"] > 0
    assert counters["own_unreachable"] == counters["own_too_short"] == 0
    expect_no_fault(host)


def test_device_holds_nothing_of_memory_that_goes(rig, kind):
    """A slow wire: without being stopped the NIC would have the guest's buffers for 50 ms yet."""
    host = start_mapped_host(rig, rig.tnic(ring=256, dma=1024, **{**FLOOD, "rate": 5000}))
    host.command("start")
    for _ in range(COMINGS):
        guest = rig.guest(args=["--auto-start"])
        before = host.xstats(0)["to_guest_mapped"]
        wait_until(lambda: host.xstats(0)["to_guest_mapped"] > before + 500, "mapped frames")
        guest.kill()
        rig.forget(guest)
    expect_no_fault(host)
