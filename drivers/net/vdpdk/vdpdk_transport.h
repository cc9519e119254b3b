/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * How a device is reached. One transport a port; it is made once and opened for each session.
 *
 * All but prepare(), map(), unmap(), make_interrupts(), destroy() and ring_doorbell() are called
 * with the port's lock held.
 */

#ifndef VDPDK_TRANSPORT_H
#define VDPDK_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_intr_handle;
struct vdpdk_port;
struct vdpdk_transport;

struct vdpdk_transport_ops {
	/** Look at EAL's memory before open(). Its lock is taken, the port's isn't held. 0; -errno
	 */
	int (*prepare)(struct vdpdk_transport *transport);
	/**
	 * Reach the device: identify it, map all memory, take what wakes it.
	 *
	 * @param ret_reason  on failure: why, and what to do; constant
	 * @return 0; -EAGAIN EAL's memory has changed since prepare(); -errno
	 */
	int (*open)(struct vdpdk_transport *transport, const char **ret_reason);
	/**
	 * Make the port's interrupts, once, when the number of queues is settled.
	 *
	 * @param fds         n eventfds, which stay the caller's: of the control vector, then of
	 *                    the Rx queues
	 * @param ret_handle  for ethdev; the transport's. NULL: there are no Rx interrupts
	 * @return 0; -errno
	 */
	int (*make_interrupts)(struct vdpdk_transport *transport, const int *fds, uint32_t n,
		struct rte_intr_handle **ret_handle);
	/** Connect the vectors of a new session to the same descriptors. */
	int (*connect_vectors)(struct vdpdk_transport *transport, const int *fds, uint32_t n);
	/** Ask for the session's end. The device may reach what it was given until has_ended(). */
	void (*end)(struct vdpdk_transport *transport);
	/** True if the device reaches nothing any more; before end(): of its own accord. */
	bool (*has_ended)(const struct vdpdk_transport *transport);
	/** Free the session, ended or not. */
	void (*close)(struct vdpdk_transport *transport);
	/** Free the transport; closed. */
	void (*destroy)(struct vdpdk_transport *transport);

	int (*read_register)(struct vdpdk_transport *transport, uint32_t offset, uint32_t *value);
	int (*write_register)(struct vdpdk_transport *transport, uint32_t offset, uint32_t value);
	/** Write without waiting until it took effect. */
	int (*post_register)(struct vdpdk_transport *transport, uint32_t offset, uint32_t value);
	/** True if ring_doorbell() has something for queues 0..n-1. */
	bool (*has_doorbells)(const struct vdpdk_transport *transport, uint16_t n);
	/** Tell the device of work on Tx queue q. Data thread inside its bracket, session up. */
	void (*ring_doorbell)(struct vdpdk_transport *transport, uint16_t q);

	/**
	 * Memory came or is about to go: the device, if there is a session, knows before these
	 * return. EAL's lock is held, the port's isn't.
	 *
	 * @return 0; -errno: the session is to be given up
	 */
	int (*map)(struct vdpdk_transport *transport, const void *start, size_t bytes);
	int (*unmap)(struct vdpdk_transport *transport, const void *start, size_t bytes);

	/** A descriptor that poll() finds hung up when the session is lost; -1: none. */
	int (*get_watch_fd)(const struct vdpdk_transport *transport);
};

struct vdpdk_transport {
	const struct vdpdk_transport_ops *ops;
	struct vdpdk_port *port;
	/* What kind it is; constant. */
	bool shares_files; /* memory is handed over by its files, with map() and unmap() */
	bool uses_iova;    /* device addresses are those that EAL gives to hardware */
	bool is_pluggable; /* a device that went doesn't come back */
	bool polls;        /* nothing tells of the device's end: it is to be looked for */
	/* Of the session, or false. */
	bool has_interrupts;
};

/** A container's: a vfio-user client of args.path. @param device  not used */
struct vdpdk_transport *vdpdk_create_container_transport(struct vdpdk_port *port, void *device);

/** A virtual machine's: a PCI function. @param device  struct rte_pci_device, mapped */
struct vdpdk_transport *vdpdk_create_pci_transport(struct vdpdk_port *port, void *device);

#endif
