"""A network that can be cut without a word: a namespace of its own, joined by a veth pair, and nftables in it."""

import os
import shutil
import subprocess

RULES = """table inet fault {
    chain input { type filter hook input priority 0; iifname "eth0" drop; }
    chain output { type filter hook output priority 0; oifname "eth0" drop; }
}
"""


def missing() -> str:
    """What is needed and not there; empty when nothing."""
    if os.geteuid() != 0:
        return "root, to make a network namespace"
    return " and ".join(program for program in ("ip", "nft", "nsenter") if shutil.which(program) is None)


class Network:
    """A network namespace, joined by two links: `address` is behind the one that can be cut, `other_address` not.

    The addresses are of 198.18.0.0/15, which RFC 2544 keeps for tests of networks.
    """

    def __init__(self) -> None:
        number = os.getpid() % 8192
        base, last = f"198.18.{number // 32}", number % 32 * 8
        self.netns = f"kubeloop-{os.getpid()}"
        self.address, self.other_address = f"{base}.{last + 2}", f"{base}.{last + 6}"
        self._links: list[str] = []
        _run("ip", "netns", "add", self.netns)
        try:
            _run("ip", "-n", self.netns, "link", "set", "lo", "up")
            self._join("eth0", f"{base}.{last + 1}", self.address)
            self._join("eth1", f"{base}.{last + 5}", self.other_address)
        except BaseException:
            self.remove()
            raise

    def _join(self, device: str, here: str, there: str) -> None:
        link = f"kl{os.getpid()}-{device[-1]}"
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", device, "netns", self.netns)
        self._links.append(link)
        _run("ip", "address", "add", f"{here}/30", "dev", link)
        _run("ip", "link", "set", link, "up")
        _run("ip", "-n", self.netns, "address", "add", f"{there}/30", "dev", device)
        _run("ip", "-n", self.netns, "link", "set", device, "up")

    def remove(self) -> None:
        """The links first: the namespace itself goes only with the last socket in it, which may take a while."""
        for link in self._links:
            _run("ip", "link", "delete", link)
        _run("ip", "netns", "delete", self.netns)

    def cut(self) -> None:
        """Drops every packet of the first link, both ways; nobody is told."""
        self._nft("-f", "-", stdin=RULES)

    def heal(self) -> None:
        self._nft("delete", "table", "inet", "fault")

    def _nft(self, *args: str, stdin: str = "") -> None:
        _run("nsenter", f"--net=/run/netns/{self.netns}", "nft", *args, stdin=stdin)


def _run(*argv: str, stdin: str = "") -> None:
    subprocess.run(argv, input=stdin, text=True, check=True, timeout=10)
