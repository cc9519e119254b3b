# SPDX-License-Identifier: BSD-3-Clause
"""DPDK programs in a guest, on its vDPDK device."""

DRIVERS = ["vfio-pci", "uio_pci_generic"]


def start_vm(rig, driver, *sockets, **options):
    """A guest for programs below a kernel driver; uio_pci_generic wants no IOMMU in its way."""
    return rig.vm(*(sockets or ["g0"]), **{"memory": 1024, "cpus": 2, "iommu": driver == "vfio-pci",
                                           **options})


def eal_args(vm, address, extra=(), plugins=None):
    """EAL's arguments for our driver and one device; plugins: where the driver is, if elsewhere."""
    return ["-d", f"{plugins or vm.rig.plugins}/librte_net_vdpdk.so", "-a", address, *extra]


def start_testpmd(vm, driver="vfio-pci", args=(), eal=(), number=0, devargs=""):
    """Stock testpmd; frames of every size pass."""
    address = vm.bind(driver, number)
    return vm.testpmd(eal_args(vm, address + devargs, eal),
                      ["--enable-scatter", "--max-pkt-len=9018", *args])
