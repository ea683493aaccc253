"""Keystone and Neutron, real, with MariaDB below; then the topology that pods and the VM live in, made through the
API as a user would.
"""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from kuryr.lab.layout import (
    KEYSTONE_PORT,
    NEUTRON_PORT,
    PASSWORD,
    VM,
    WORLD_IP,
    LabError,
    Layout,
    environment,
)
from kuryr.lab.processes import Processes, run

KEYSTONE_URL = f"http://127.0.0.1:{KEYSTONE_PORT}/v3"
NEUTRON_URL = f"http://127.0.0.1:{NEUTRON_PORT}"

_QUOTAS = ["port", "network", "subnet", "security_group", "security_group_rule", "router", "floatingip", "trunk"]


class OpenStack:
    """MariaDB, Keystone, Neutron."""

    name = "openstack"

    def __init__(self, layout: Layout, processes: Processes) -> None:
        self._layout = layout
        self._processes = processes
        self._bin = layout.openstack_venv / "bin"
        self._etc = layout.state / "etc"
        self._mysql = layout.state / "mysql"

    def start_database(self) -> None:
        """MariaDB on a socket; with a migrated Neutron schema from the cache, or made now and kept there."""
        template = self._layout.cache / "mysql-template.tar"
        fresh = not (self._mysql / "data/mysql").exists()
        self._mysql.mkdir(parents=True, exist_ok=True)
        shutil.chown(self._mysql, "mysql", "mysql")
        if fresh and template.exists():
            run(["tar", "-C", self._mysql, "-xf", template])
        elif fresh:
            options = ["--no-defaults", "--user=mysql", "--auth-root-authentication-method=normal", "--skip-test-db"]
            run(["mysql_install_db", *options, f"--datadir={self._mysql}/data"], timeout_s=120)
        self._start_mariadb()
        if fresh and not template.exists():
            self._write_configuration()
            sql = "create database if not exists neutron character set utf8mb3"
            run(["mariadb", "--no-defaults", "-S", f"{self._mysql}/s.sock", "-e", sql])
            manage = [self._bin / "neutron-db-manage", *self._config_files(), "upgrade", "heads"]
            run(manage, timeout_s=300)
            self._processes.stop("mariadb", timeout_s=30)
            run(["tar", "-C", self._mysql, "-cf", f"{template}.new", "data"])
            Path(f"{template}.new").rename(template)
            self._start_mariadb()

    def _start_mariadb(self) -> None:
        socket = self._mysql / "s.sock"
        options = [
            "--innodb-flush-log-at-trx-commit=0",
            "--sync-binlog=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=16M",
            "--max-connections=500",
            "--skip-name-resolve",
            "--skip-networking",
            "--user=mysql",
        ]
        places = [f"--datadir={self._mysql}/data", f"--socket={socket}", f"--pid-file={self._mysql}/pid"]
        self._processes.start("mariadb", ["mariadbd", "--no-defaults", *options, *places])
        ping = ["mariadb-admin", "--no-defaults", "-S", str(socket), "ping"]
        self._processes.wait("mariadb", lambda: "alive" in run(ping, check=False), timeout_s=60)

    def start_keystone(self) -> None:
        """Keystone on SQLite, bootstrapped once and then from the cache."""
        self._write_configuration()
        home = self._layout.state / "keystone"
        template = self._layout.cache / "keystone-template.tar"
        if not (home / "keystone.db").exists():
            home.mkdir(parents=True, exist_ok=True)
            if template.exists():
                run(["tar", "-C", home, "-xf", template])
            else:
                self._bootstrap_keystone(home)
                run(["tar", "-C", home, "-cf", f"{template}.new", "."])
                Path(f"{template}.new").rename(template)
        self._start_uwsgi("keystone", "keystone.wsgi.api:application", KEYSTONE_PORT, "keystone.conf", threads=4)
        self._processes.wait("keystone", lambda: answering(KEYSTONE_URL), timeout_s=60)

    def _bootstrap_keystone(self, home: Path) -> None:
        for folder in ("fernet", "credential"):
            (home / folder).mkdir(exist_ok=True)
        manage = [self._bin / "keystone-manage", "--config-file", self._etc / "keystone.conf"]
        owner = ["--keystone-user", "root", "--keystone-group", "root"]
        run([*manage, "db_sync"], timeout_s=300)
        run([*manage, "fernet_setup", *owner])
        run([*manage, "credential_setup", *owner])
        urls = [item for name in ("admin", "internal", "public") for item in (f"--bootstrap-{name}-url", KEYSTONE_URL)]
        run(
            [*manage, "bootstrap", "--bootstrap-password", PASSWORD, *urls, "--bootstrap-region-id", "RegionOne"],
            timeout_s=120,
        )

    def start_neutron(self) -> None:
        """The API under uwsgi and the OVN maintenance worker; needs the database, Keystone and OVN."""
        (self._layout.state / "neutron/lock").mkdir(parents=True, exist_ok=True)
        self._start_uwsgi(
            "neutron", "neutron.wsgi.api:application", NEUTRON_PORT, "neutron.conf;ml2_conf.ini", threads=8
        )
        worker = [self._bin / "neutron-ovn-maintenance-worker", *self._config_files()]
        self._processes.start("neutron-ovn-maintenance", worker, env=self._path())
        self._processes.wait("neutron", lambda: answering(NEUTRON_URL), timeout_s=90)

    def _start_uwsgi(self, service: str, module: str, port: int, files: str, *, threads: int) -> None:
        # lazy-apps: the OVN IDL and its hash ring must be made in each worker, not before the fork
        options = (
            f"--master --http11-socket 127.0.0.1:{port} --module {module} --processes 1 --threads {threads} "
            "--enable-threads --lazy-apps --single-interpreter --buffer-size 65535 --die-on-term --need-app"
        ).split()
        log_format = ["--log-format", "%(method) %(uri) %(status) %(msecs)ms %(uagent)"]
        prefix = f"OS_{service.upper()}_CONFIG"
        env = {f"{prefix}_DIR": str(self._etc), f"{prefix}_FILES": files, **self._path()}
        argv = [self._bin / "uwsgi", *options, "--virtualenv", self._layout.openstack_venv, *log_format]
        self._processes.start(service, argv, env=env)

    def _path(self) -> dict[str, str]:
        """Ovsdbapp looks for ovsdb-client."""
        return {"PATH": f"{self._layout.ovs_bin}:{environment()['PATH']}"}

    def _config_files(self) -> list[str]:
        names = ("neutron.conf", "ml2_conf.ini")
        return [item for name in names for item in ("--config-file", str(self._etc / name))]

    def _write_configuration(self) -> None:
        self._etc.mkdir(parents=True, exist_ok=True)
        state = self._layout.state
        _write_ini(
            self._etc / "keystone.conf",
            {
                "DEFAULT": {"log_file": f"{state}/logs/keystone-service.log"},
                "database": {"connection": f"sqlite:///{state}/keystone/keystone.db"},
                "token": {"provider": "fernet"},
                "fernet_tokens": {"key_repository": f"{state}/keystone/fernet"},
                "credential": {"key_repository": f"{state}/keystone/credential"},
                "identity": {"password_hash_rounds": "4"},
                "cache": {"enabled": "false"},
            },
        )
        _write_ini(self._etc / "neutron.conf", self._neutron_options())
        _write_ini(self._etc / "ml2_conf.ini", self._ml2_options())

    def _neutron_options(self) -> dict[str, dict[str, str]]:
        state = self._layout.state
        return {
            "DEFAULT": {
                "core_plugin": "ml2",
                "service_plugins": "ovn-router,trunk,qos,segments,port_forwarding",
                "auth_strategy": "keystone",
                "api_paste_config": str(self._layout.openstack_venv / "etc/neutron/api-paste.ini"),
                "state_path": f"{state}/neutron",
                "transport_url": "fake://",
                "rpc_workers": "0",
                "notify_nova_on_port_status_changes": "false",
                "notify_nova_on_port_data_changes": "false",
                "dhcp_agent_notification": "false",
                "global_physnet_mtu": "1558",
                "log_file": f"{state}/logs/neutron-service.log",
                "host": "lab",
            },
            "oslo_messaging_notifications": {"driver": "noop"},
            "oslo_concurrency": {"lock_path": f"{state}/neutron/lock"},
            "database": {"connection": f"mysql+pymysql://root@localhost/neutron?unix_socket={state}/mysql/s.sock"},
            "quotas": {"default_quota": "-1", **{f"quota_{name}": "-1" for name in _QUOTAS}},
            "keystone_authtoken": {
                "auth_type": "password",
                "auth_url": KEYSTONE_URL,
                "www_authenticate_uri": KEYSTONE_URL,
                "username": "admin",
                "password": PASSWORD,
                "project_name": "admin",
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
        }

    def _ml2_options(self) -> dict[str, dict[str, str]]:
        return {
            "ml2": {
                "type_drivers": "geneve,flat,vlan,local",
                "tenant_network_types": "geneve",
                "mechanism_drivers": "ovn",
                "extension_drivers": "port_security,qos,uplink_status_propagation",
                "path_mtu": "1558",
            },
            "ml2_type_geneve": {"vni_ranges": "1:65536", "max_header_size": "38"},
            "ml2_type_flat": {"flat_networks": "physnet1"},
            "ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:200"},
            "securitygroup": {"enable_security_group": "true"},
            "ovn": {
                "ovn_nb_connection": self._layout.northbound,
                "ovn_sb_connection": self._layout.southbound,
                "ovn_l3_scheduler": "leastloaded",
                "ovn_metadata_enabled": "false",
                "enable_distributed_floating_ip": "true",
            },
        }


def _write_ini(path: Path, sections: dict[str, dict[str, str]]) -> None:
    lines = [
        line
        for section, options in sections.items()
        for line in (f"[{section}]", *(f"{key} = {value}" for key, value in options.items()), "")
    ]
    path.write_text("\n".join(lines))


def answering(url: str) -> bool:
    """Something at this URL speaks HTTP, and not of an error of its own."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the lab's own URL
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


class Api:
    """A small blocking client for setting the lab up: the product's own client is what the lab tests."""

    def __init__(self, user: str, project: str) -> None:
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": {"id": "default"}, "password": PASSWORD}},
        }
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        request = urllib.request.Request(f"{KEYSTONE_URL}/auth/tokens", method="POST")  # noqa: S310
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            self._token = answer.headers["X-Subject-Token"]

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """The decoded answer. Raises `LabError` with what the service said."""
        request = urllib.request.Request(url, method=method)  # noqa: S310
        request.add_header("X-Auth-Token", self._token)
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", "kuryr-lab")
        request.data = json.dumps(body).encode() if body is not None else None
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise LabError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')[:500]}") from error

    def ensure(self, base: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        """The object of that name, made if it is not there."""
        collection = f"{base}/{kind.replace('_', '-')}s"
        found = self.call("GET", f"{collection}?name={name}")[f"{kind}s"]
        if found:
            return dict(found[0])
        return dict(self.call("POST", collection, {kind: {"name": name, **fields}})[kind])


class Topology:
    """Project and user of Kuryr; outside, router, pods' network, their security group, and the VM's port."""

    name = "topology"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def start(self) -> None:
        admin = Api("admin", "admin")
        self._register_neutron(admin)
        project = admin.ensure(KEYSTONE_URL, "project", "kubernetes", domain_id="default")
        user = admin.ensure(KEYSTONE_URL, "user", "kuryr", domain_id="default", password=PASSWORD)
        for name in ("member", "service"):
            role = admin.ensure(KEYSTONE_URL, "role", name)
            admin.call("PUT", f"{KEYSTONE_URL}/projects/{project['id']}/users/{user['id']}/roles/{role['id']}")
        self._write_clouds()
        self._make_networks(admin, Api("kuryr", "kubernetes"))

    def _register_neutron(self, admin: Api) -> None:
        if admin.call("GET", f"{KEYSTONE_URL}/services?type=network")["services"]:
            return
        service = {"service": {"type": "network", "name": "neutron"}}
        found = admin.call("POST", f"{KEYSTONE_URL}/services", service)["service"]
        for interface in ("public", "internal", "admin"):
            endpoint = {"service_id": found["id"], "interface": interface, "url": NEUTRON_URL, "region_id": "RegionOne"}
            admin.call("POST", f"{KEYSTONE_URL}/endpoints", {"endpoint": endpoint})

    def _make_networks(self, admin: Api, kuryr: Api) -> None:
        base = f"{NEUTRON_URL}/v2.0"
        external = {"router:external": True, "provider:network_type": "flat", "provider:physical_network": "physnet1"}
        outside = admin.ensure(base, "network", "outside", **external)
        pools = [{"start": "172.24.4.100", "end": "172.24.4.200"}]
        admin.ensure(
            base, "subnet", "outside", network_id=outside["id"], ip_version=4, cidr="172.24.4.0/24",
            gateway_ip=WORLD_IP, enable_dhcp=False, allocation_pools=pools,
        )  # fmt: skip
        prefixes = {"prefixes": ["10.20.0.0/15"], "default_prefixlen": 24, "min_prefixlen": 16, "max_prefixlen": 28}
        pool = kuryr.ensure(base, "subnetpool", "kuryr-pods", **prefixes)
        pods = kuryr.ensure(base, "network", "pods")
        subnet = kuryr.ensure(
            base, "subnet", "pods", network_id=pods["id"], ip_version=4, subnetpool_id=pool["id"],
            prefixlen=16, enable_dhcp=False,
        )  # fmt: skip
        router = kuryr.ensure(base, "router", "kuryr")
        if not router["external_gateway_info"]:
            gateway = {"router": {"external_gateway_info": {"network_id": outside["id"]}}}
            kuryr.call("PUT", f"{base}/routers/{router['id']}", gateway)
        attached = kuryr.call("GET", f"{base}/ports?device_id={router['id']}&network_id={pods['id']}")["ports"]
        if not attached:
            kuryr.call("PUT", f"{base}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        group = kuryr.ensure(base, "security_group", "kuryr-pods")
        if not any(rule["direction"] == "ingress" for rule in group["security_group_rules"]):
            for family in ("IPv4", "IPv6"):
                rule = {"security_group_id": group["id"], "direction": "ingress", "ethertype": family}
                kuryr.call("POST", f"{base}/security-group-rules", {"security_group_rule": rule})
        self._plug_vm(kuryr, base, pods, group)

    def _plug_vm(self, kuryr: Api, base: str, pods: dict[str, Any], group: dict[str, Any]) -> None:
        """The VM: a namespace on the first node, plugged as Nova would plug an instance."""
        node = self._layout.nodes[0]
        binding = {"binding:host_id": node.ovs_hostname, "device_owner": "compute:nova", "device_id": "vm1"}
        port = kuryr.ensure(base, "port", "vm1", network_id=pods["id"], security_groups=[group["id"]], **binding)
        address = port["fixed_ips"][0]["ip_address"]
        (self._layout.state / "vm1.address").write_text(address)
        if Path(f"/run/netns/{VM}").exists():
            return
        run(["ip", "netns", "add", VM])
        mac, tap = port["mac_address"], f"tap{port['id'][:11]}"
        run(
            [
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                VM,
                "address",
                mac,
                "type",
                "veth",
                "peer",
                "name",
                tap,
                "netns",
                node.netns,
            ]
        )
        run(["ip", "-n", node.netns, "link", "set", tap, "mtu", str(pods["mtu"]), "up"])
        run(["ip", "-n", VM, "link", "set", "lo", "up"])
        run(["ip", "-n", VM, "link", "set", "eth0", "mtu", str(pods["mtu"]), "up"])
        run(["ip", "-n", VM, "address", "add", f"{address}/16", "dev", "eth0"])
        run(["ip", "-n", VM, "route", "add", "default", "via", "10.20.0.1"])
        vsctl = [self._layout.ovs_bin / "ovs-vsctl", "--timeout=20", f"--db=unix:{self._layout.ovsdb(node)}"]
        ids = [
            f"external_ids:iface-id={port['id']}",
            f"external_ids:attached-mac={mac}",
            "external_ids:iface-status=active",
        ]
        run([*vsctl, "add-port", "br-int", tap, "--", "set", "Interface", tap, *ids])

    def _write_clouds(self) -> None:
        def cloud(user: str, project: str) -> dict[str, Any]:
            auth = {
                "auth_url": KEYSTONE_URL,
                "username": user,
                "password": PASSWORD,
                "project_name": project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            }
            return {"auth": auth, "region_name": "RegionOne", "identity_api_version": 3}

        clouds = {"clouds": {"kuryr": cloud("kuryr", "kubernetes"), "admin": cloud("admin", "admin")}}
        self._layout.clouds.write_text(yaml.safe_dump(clouds))
        self._layout.clouds.chmod(0o600)
