#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
In a guest: a program that has a device by vfio-pci, without DPDK.

    vfio_program.py ADDRESS        commands on the terminal, each answered by a line

    map IOVA BYTES                 fresh memory for the device
    unmap IOVA BYTES               all of these that are whole in the range
    read|write OFFSET [VALUE]      a register of BAR 0
    end
"""

import fcntl
import mmap
import os
import struct
import sys

# _IO(';', 100 + N) of linux/vfio.h.
(SET_IOMMU, GROUP_GET_STATUS, GROUP_SET_CONTAINER, GROUP_GET_DEVICE_FD, DEVICE_GET_REGION_INFO,
 MAP_DMA, UNMAP_DMA) = (0x3B64 + number for number in (2, 3, 4, 6, 8, 13, 14))
TYPE1V2 = 3
READ_WRITE = 3
COMMAND_OFFSET = 4
MEMORY_AND_MASTER = 6


class Device:
    """The device, alone in its group."""

    def __init__(self, address):
        group = os.path.basename(os.readlink(f"/sys/bus/pci/devices/{address}/iommu_group"))
        self.container = os.open("/dev/vfio/vfio", os.O_RDWR)
        self.group = os.open(f"/dev/vfio/{group}", os.O_RDWR)
        fcntl.ioctl(self.group, GROUP_SET_CONTAINER, struct.pack("i", self.container))
        fcntl.ioctl(self.container, SET_IOMMU, TYPE1V2)
        # A bytearray, so that the answer is a number.
        self.fd = fcntl.ioctl(self.group, GROUP_GET_DEVICE_FD, bytearray(address.encode() + b"\0"))
        config = self.region(7)[0]
        os.pwrite(self.fd, struct.pack("<H", MEMORY_AND_MASTER), config + COMMAND_OFFSET)
        offset, size = self.region(0)
        self.registers = memoryview(mmap.mmap(self.fd, size, offset=offset)).cast("I")
        self.memory = []

    def region(self, index):
        """Where it is in the device's file, and its size."""
        info = fcntl.ioctl(self.fd, DEVICE_GET_REGION_INFO,
                           struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        size, offset = struct.unpack_from("<QQ", info, 16)
        return offset, size

    def map(self, iova, size):
        memory = mmap.mmap(-1, size)
        self.memory.append(memory)
        address = address_of(memory)
        fcntl.ioctl(self.container, MAP_DMA,
                    struct.pack("<IIQQQ", 32, READ_WRITE, address, iova, size))
        return size

    def unmap(self, iova, size):
        done = fcntl.ioctl(self.container, UNMAP_DMA, struct.pack("<IIQQ", 24, 0, iova, size))
        return struct.unpack("<IIQQ", done)[3]

    def read(self, offset):
        return self.registers[offset // 4]

    def write(self, offset, value):
        self.registers[offset // 4] = value
        return value


def address_of(memory):
    import ctypes
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def main():
    device = Device(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "end":
            break
        try:
            print("ok", getattr(device, verb)(*(int(number, 0) for number in numbers)), flush=True)
        except OSError as error:
            print("error", error, flush=True)


if __name__ == "__main__":
    main()
