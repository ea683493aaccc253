"""Keystone and Neutron, real, with MariaDB below. Only setting up is done as admin: Neutron asks Keystone about tokens
as a user of its own with the role `service`.
"""

import shutil
from pathlib import Path

from kuryr.lab.layout import KEYSTONE_PORT, NEUTRON_PORT, PASSWORD, Layout, environment
from kuryr.lab.openstack_api import KEYSTONE_URL, NEUTRON_URL, Api, answering
from kuryr.lab.processes import Processes, run

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
        Api("admin", "admin").ensure_user("neutron", "service", "service")

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
                "username": "neutron",
                "password": PASSWORD,
                "project_name": "service",
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
