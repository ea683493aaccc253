"""A node's machine: kernel, Open vSwitch, ovn-controller, container runtime and kubelet. It outlives the daemon."""
