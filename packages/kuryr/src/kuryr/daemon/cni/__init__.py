"""CNI: the protocol's types, the daemon's socket, the plug-in that runtimes call, and its installation."""
