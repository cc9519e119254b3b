# SPDX-License-Identifier: BSD-3-Clause
"""Memory: maps that make no sense, files that aren't what they seem, and such that change."""

import fcntl
import os
import struct
import time

import pytest

import driver as d
import vfio_user as vu
import vhost_user as vh
import virtio_driver as vd
from dialect import Virtio, only
from testpmd import wait_until

EACCES, EFAULT, EEXIST, EINVAL, ENOSPC = 13, 14, 17, 22, 28
WINDOW = 1 << 36
END = 1 << 64
PAGE = d.PAGE

# Address, size, offset in a file of 16 pages, flags, errno of the answer; a client of its own each.
MAPS = {
    "good": (PAGE, PAGE, 0, 3, 0),
    "at-zero": (0, PAGE, 0, 3, 0),
    "at-the-end": (END - PAGE, PAGE, 0, 3, 0),
    "over-a-window": (WINDOW - PAGE, 2 * PAGE, 0, 3, 0),
    "empty": (PAGE, 0, 0, 3, EINVAL),
    "half-a-page": (PAGE, PAGE // 2, 0, 3, EINVAL),
    "a-byte-off": (PAGE + 1, PAGE, 0, 3, EINVAL),
    "wraps": (END - PAGE, 2 * PAGE, 0, 3, EINVAL),
    "ends-at-the-end": (PAGE, END - PAGE, 0, 3, EINVAL),
    "everything": (0, END - PAGE, 0, 3, EINVAL),
    "no-access": (PAGE, PAGE, 0, 0, EINVAL),
    "unknown-access": (PAGE, PAGE, 0, 7, EINVAL),
    "high-flags": (PAGE, PAGE, 0, 0x80000003, EINVAL),
    "offset-off": (PAGE, PAGE, 1, 3, EINVAL),
    "offset-at-the-end": (PAGE, PAGE, 16 * PAGE, 3, EFAULT),
    "one-page-too-long": (PAGE, 16 * PAGE, PAGE, 3, EFAULT),
    "offset-wraps": (PAGE, 2 * PAGE, END - PAGE, 3, EINVAL),
    "offset-negative": (PAGE, PAGE, 1 << 63, 3, EINVAL),
}


@only("vdpdk")
@pytest.mark.parametrize("name", MAPS)
def test_map_that_makes_no_sense(scene, name):
    address, size, offset, flags, error = MAPS[name]
    client = scene.adopt(d.Driver(scene.path))
    file = d.make_file(16 * PAGE)
    answer = client.map(address, size, offset, flags, file)
    os.close(file)
    assert answer == error
    if answer == 0:
        assert client.unmap(address, size) == 0
    assert client.unmap(address, size) == (EINVAL if size == 0 or address + size > END else 0)


@only("vdpdk")
def test_maps_upon_each_other(scene):
    client = scene.adopt(d.Driver(scene.path))
    file = d.make_file(16 * PAGE)
    for _ in range(2):
        assert client.map(8 * PAGE, 4 * PAGE, fd=file) == 0  # the same again is no mistake
    for first in range(5, 12):
        for n in (1, 2, 4, 8):
            if first + n > 8 and (first, n) != (8, 4):
                assert client.map(first * PAGE, n * PAGE, fd=file) == EEXIST
    assert client.map(8 * PAGE, 4 * PAGE, offset=PAGE, fd=file) == EEXIST
    assert client.map(8 * PAGE, 4 * PAGE, flags=1, fd=file) == EEXIST
    assert client.map(8 * PAGE, 4 * PAGE, fd=client.spare) in (EEXIST, EFAULT)
    for address, size in ((8, 1), (8, 3), (9, 3), (7, 4), (0, 11), (11, 1 << 40)):
        assert client.unmap(address * PAGE, size * PAGE) == EINVAL
    for address, size in ((0, 8), (12, 1 << 40)):
        assert client.unmap(address * PAGE, size * PAGE) == 0
    assert client.map(8 * PAGE, 1 * PAGE, fd=file) == EEXIST  # it is still there
    assert client.unmap(8 * PAGE, 4 * PAGE, flags=1) == EINVAL
    assert client.unmap(8 * PAGE, 4 * PAGE, flags=2) == EINVAL
    assert client.unmap_all() == 0
    assert client.unmap(8 * PAGE, 4 * PAGE) == 0
    for first in (1, 5, 6):
        assert client.map(first * PAGE, PAGE, fd=file) == 0
    assert client.unmap(0, 6 * PAGE) == 0  # two of them
    assert client.map(5 * PAGE, PAGE, fd=file) == 0
    assert client.map(6 * PAGE, 2 * PAGE, fd=file) == EEXIST
    os.close(file)


def open_again(fd, flags):
    return os.open(f"/proc/self/fd/{fd}", flags)


def make_sealed(seals):
    fd = d.make_file(d.BYTES, os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


# What is mapped, with which access, and what a vDPDK host answers, None: it ends the connection; a
# virtio guest's memory is one to read and write.
FILES = {
    "read-only": (lambda: open_again(d.make_file(d.BYTES), os.O_RDONLY), 3, EACCES),
    "read-only-to-read": (lambda: open_again(d.make_file(d.BYTES), os.O_RDONLY), 1, 0),
    "write-only": (lambda: open_again(d.make_file(d.BYTES), os.O_WRONLY), 2, EACCES),
    "no-access": (lambda: open_again(d.make_file(d.BYTES), os.O_PATH), 1, None),
    "sealed-against-writing": (lambda: make_sealed(fcntl.F_SEAL_WRITE), 3, EACCES),
    "sealed-against-shrinking": (lambda: make_sealed(fcntl.F_SEAL_SHRINK), 3, 0),
    "empty": (lambda: d.make_file(0), 3, EFAULT),
    "a-byte-short": (lambda: d.make_file(d.BYTES - 1), 3, EFAULT),
    "folder-of-tmpfs": (lambda: os.open("/dev/shm", os.O_RDONLY), 1, None),
    "on-a-disk": (lambda: os.open(__file__, os.O_RDWR), 3, None),
    "device": (lambda: os.open("/dev/zero", os.O_RDWR), 3, None),
    "eventfd": (lambda: os.eventfd(0), 3, EINVAL),
}


@pytest.mark.parametrize("name", FILES)
def test_file_of_a_wrong_kind(scene, name):
    make, access, error = FILES[name]
    client = scene.adopt(scene.dialect.make_state(scene.path, "agreed"))
    fd = make()
    answer = scene.dialect.offer_file(client, fd, access)
    os.close(fd)
    if scene.dialect is Virtio:
        assert (answer == 0) == (error == 0 and access == 3)
        assert answer is not None or client.is_closed(2)
    elif error is None:
        assert answer in (None, EINVAL)
        assert client.is_closed(2)
    else:
        assert answer == error


@only("vdpdk")
def test_huge_pages_that_are_not_there(scene):
    """A file of huge pages may be longer than the pool: the touch of a page fails, not the map."""
    client = scene.adopt(d.Driver(scene.path))
    size = 1 << 40
    file = d.make_file(size, os.MFD_HUGETLB)
    client.write(0x04, 0x6, region=7)
    assert client.map(d.BASE + PAGE, PAGE, fd=file) == EINVAL  # elsewhere in the huge page
    assert client.map(d.BASE + PAGE, PAGE, offset=PAGE, fd=file) == 0
    assert client.map(d.BASE, PAGE, fd=client.spare) == EEXIST  # in the same huge page
    assert client.map(WINDOW, 1 << 30, fd=file) == 0
    os.close(file)
    client.write(d.STATUS, d.FEATURES_OK)
    client.set_area(WINDOW)
    # With the page the device runs, without it the session ends; either way nothing else happens.
    answer = client.ask(vu.REGION_WRITE, d.pack_access(d.STATUS, struct.pack("<I", d.RUNNING)))
    assert client.is_closed(1) if answer is None else client.is_closed(0.1) or \
        client.read(d.STATUS) == d.RUNNING


@only("virtio")
def test_rings_in_huge_pages_that_are_not_there(scene):
    client = scene.driver()
    file = d.make_file(1 << 40, os.MFD_HUGETLB)
    assert client.share(((vd.BASE, 1 << 30, vd.USER, 1 << 39),), [file]) == 0
    os.close(file)
    # As above.
    if client.set_ring(1) == [0, 0, 0]:
        for request in (vh.SET_CALL, vh.SET_KICK):
            client.tell_file(request, 1)
        client.ask_whether(vh.SET_ENABLE, vh.pack_state(1, 1))
    assert client.is_closed(1) or client.is_alive()


@only("vdpdk")
def test_file_of_a_terabyte(scene):
    """What isn't touched costs nothing; bytes are counted as they are mapped."""
    client = scene.adopt(d.Driver(scene.path))
    file = d.make_file(1 << 40)
    client.write(0x04, 0x6, region=7)
    assert client.map(WINDOW, (1 << 36) + PAGE, fd=file) == ENOSPC
    assert client.map(WINDOW, 1 << 36, offset=1 << 38, fd=file) == 0
    assert client.map(3 * WINDOW, PAGE, fd=file) == ENOSPC
    os.close(file)
    client.write(d.STATUS, d.FEATURES_OK)
    client.set_area(2 * WINDOW - 5 * PAGE)  # its last bytes
    client.write(d.STATUS, d.RUNNING)
    assert client.read(d.STATUS) == d.RUNNING


@only("virtio")
def test_region_of_a_terabyte(scene):
    """As above; its rings are the last bytes that it may share."""
    file, size = d.make_file(1 << 40), 1 << 36
    assert scene.driver().share(((vd.BASE, size + PAGE, vd.USER, 0),), [file]) != 0
    wait_until(lambda: not scene.is_busy(), "the port to be free")
    client = scene.driver()
    assert client.share(((vd.BASE, size, vd.USER, 1 << 38),), [file]) == 0
    os.close(file)
    client.start_ring(1, start=vd.USER + size - vd.RING_ROOM)
    time.sleep(0.05)
    assert client.is_alive()
    assert scene.host.read_status("VmRSS") < 8 << 20  # KiB


@only("vdpdk")
def test_windows_beyond_the_last(scene):
    client = scene.adopt(d.Driver(scene.path))
    for i in range(16):
        assert client.map(i * 7 * WINDOW, PAGE, fd=client.spare) == 0
    assert client.map(1 << 50, PAGE, fd=client.spare) == ENOSPC
    assert client.map(0 * WINDOW + PAGE, PAGE, fd=client.spare) == 0


def ask_many(client, requests):
    """errnos of many requests with the same descriptors, a few under way at once."""
    errors = []
    for i in range(0, len(requests), 32):
        for request, fds in requests[i:i + 32]:
            client.send(request, fds)
        errors += [client.receive()[1] for _ in requests[i:i + 32]]
    return errors


@only("vdpdk")
def test_flood_of_maps(scene):
    """No two of them adjacent, up to where the host has enough; then each taken back."""
    client = scene.adopt(d.Driver(scene.path))
    n = 17000
    maps = [(vu.message(vu.DMA_MAP, d.pack_map(i * 2 * PAGE, PAGE)), [client.spare])
            for i in range(n)]
    errors = ask_many(client, maps)
    taken = errors.index(ENOSPC)
    # A map takes two mappings, and nobody takes what would leave less free than it has.
    with open("/proc/sys/vm/max_map_count") as file:
        share = int(file.read()) // 4 * 3 // 4
    assert 1000 < taken <= min(share, 16384)
    assert set(errors[:taken]) == {0} and set(errors[taken:]) == {ENOSPC}
    assert scene.host.count_maps() >= scene.maps + taken
    unmaps = [(vu.message(vu.DMA_UNMAP, d.pack_unmap(i * 2 * PAGE, PAGE)), []) for i in range(500)]
    assert set(ask_many(client, unmaps)) == {0}


@only("vdpdk")
def test_memory_without_a_file(scene):
    """It is accepted, as VMMs have such; nothing can be there."""
    client = scene.adopt(d.Driver(scene.path).make_running())
    assert client.map(1 << 40, d.BYTES, fd=-1) == 0
    assert client.request(d.QUEUE_START, d.pack_start(d.TX, address=1 << 40)) == d.ADDRESS
    assert client.request(d.QUEUE_START, d.pack_start(d.TX)) == d.OK
    client.put(d.TX, 0, 1 << 40, 60)
    client.expect_fault(d.TX, d.FAULT_ADDRESS)


@only("vdpdk")
def test_memory_of_the_wrong_protection(scene):
    client = scene.adopt(d.Driver(scene.path).make_running())
    file = d.make_file(d.BYTES)
    read, write = 1 << 40, 2 << 40
    assert client.map(read, d.BYTES, flags=1, fd=file) == 0
    assert client.map(write, d.BYTES, flags=2, fd=file) == 0
    os.close(file)
    for address in (read, write):
        assert client.request(d.QUEUE_START, d.pack_start(d.RX, address=address)) == d.ADDRESS
    for direction, address in ((d.RX, read), (d.TX, write)):
        assert client.request(d.QUEUE_START, d.pack_start(direction)) == d.OK
        client.put(direction, 0, address, 2048)
        client.expect_fault(direction, d.FAULT_ADDRESS)


# --- Taken away under load ---


@only("vdpdk")
@pytest.mark.parametrize("part", ["buffers", "rings", "area"])
def test_unmap_under_load(scene, part):
    guest = scene.light_guest()
    for _ in range(20):
        micros = int(guest.ask(f"unmap {part}")[0])
        assert micros < 1000000
        guest.ask(f"map {part}")
        guest.ask("pause")
        guest.ask("reset")
        guest.ask("start")
        guest.ask("reflect")


@only("vdpdk")
def test_unmap_all_under_load(scene):
    guest = scene.light_guest()
    guest.ask("unmap buffers")
    wait_until(lambda: guest.ask("state")[1:] != ["1/0", "1/0"], "a queue in error")
    # Reason 4: a buffer outside the memory that is mapped.
    assert "2/4" in guest.ask("state")[1:]


@only("vdpdk")
def test_unmapped_ring_stops_its_queue(scene):
    guest = scene.light_guest()
    guest.ask("unmap rings")
    wait_until(lambda: scene.count("guest_queue_faults") >= 2, "faults")


@only("vdpdk")
def test_unmapped_area_fails_the_device(scene):
    client = scene.adopt(d.Driver(scene.path).make_busy())
    assert client.unmap_all() == 0
    assert client.read(d.STATUS) & d.FAILED
    client.write(d.STATUS, 0)
    client.wait_reset()
    client.seq = [0] * 16
    client.memory[:d.BUFFERS] = bytes(d.BUFFERS)
    client.make_busy()


# --- Files that change under a running device ---


@only("vdpdk")
def test_memory_truncated_under_load(scene):
    guest = scene.light_guest()
    # Its own accesses would end it: it sleeps while its memory goes.
    guest.freeze()
    files = [f"/proc/{guest.pid}/fd/{name}" for name in os.listdir(f"/proc/{guest.pid}/fd")]
    memory = [path for path in files if "nmx-test-guest" in os.readlink(path)]
    assert len(memory) == 1
    os.truncate(memory[0], 0)
    wait_until(lambda: scene.count("guest_resets") > 1 and not scene.is_busy(),
               "the end of the session")


@pytest.mark.parametrize("part", range(6))
def test_memory_truncated_to_a_part(scene, part):
    """Whoever touches what isn't there first, a burst or the control thread, lives on."""
    for form in scene.dialect.FORMS:
        client = scene.busy_client(**form)
        length = scene.dialect.PARTS[part]
        os.ftruncate(client.file, length)
        deadline = time.monotonic() + 5
        while not client.is_closed(0.01):
            scene.dialect.poke(client, length)
            assert time.monotonic() < deadline
        client.close()


def test_memory_punched_under_load(scene):
    """The pages are gone and come back empty: the guest's loss, and nobody else's."""
    for form in scene.dialect.FORMS:
        client = scene.busy_client(**form)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for at in scene.dialect.AREAS:
                d.punch(client.file, at, 0x8000)
            client.post_buffers(0, 64)
            scene.dialect.poke(client)
        assert scene.dialect.is_alive(client)
        client.close()


def test_memory_truncated_and_grown_again(scene):
    """A page that was there before isn't the one that is there now."""
    for form in scene.dialect.FORMS:
        client = scene.busy_client(**form)
        for _ in range(200):
            os.ftruncate(client.file, scene.dialect.PARTS[3])
            os.ftruncate(client.file, d.BYTES)
            scene.dialect.poke(client)
        client.close()
