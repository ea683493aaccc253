"""The node's OVSDB: transactions on the tables of Open_vSwitch that we use."""
