"""Raw rtnetlink: what the kernel needs to be told to wire a sandbox, in few system calls and without a subprocess."""
