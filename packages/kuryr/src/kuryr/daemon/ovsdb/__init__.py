"""Open vSwitch through its database: a persistent JSON-RPC connection (RFC 7047), and `Vswitch` over it."""
