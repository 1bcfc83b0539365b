"""Where things are on a server: every path that Rondo owns there, in one place."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "/var/lib/rondo"
RUN = "/run/rondo"
ACCESS_LOGS = "/var/log/nginx"
CONTAINER_LOGS = "/var/log/rondo"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one project on a server."""

    project: str

    @property
    def root(self) -> str:
        """Folder of everything below; survives reboots."""
        return f"{ROOT}/{self.project}"

    @property
    def sockets(self) -> str:
        """Folder of the slots' sockets; only root and Nginx's workers may enter."""
        return f"{self.root}/sockets"

    def slot_socket(self, slot: str) -> str:
        """Path that the upstream names: a symlink to the socket of the container in the slot."""
        return f"{self.sockets}/{slot}/slot.sock"

    def instance(self, slot: str, instance: str) -> str:
        """Folder of one container's own socket, the same inside and outside of it."""
        return f"{self.sockets}/{slot}/{instance}"

    @property
    def gate(self) -> str:
        """Socket of the Nginx server that addresses candidates; gone with Nginx and at reboot."""
        return f"{RUN}/{self.project}.sock"

    @property
    def site_file(self) -> str:
        """The project's Nginx configuration."""
        return f"/etc/nginx/conf.d/rondo-{self.project}.conf"

    @property
    def gate_file(self) -> str:
        """Nginx configuration of the gate; changed before slots are filled, the site's after."""
        return f"/etc/nginx/conf.d/rondo-{self.project}-gate.conf"

    def certificate(self, site: str) -> str:
        """Certificate chain of a site."""
        return f"{self.root}/tls/{site}.pem"

    def private_key(self, site: str) -> str:
        """Private key of a site."""
        return f"{self.root}/tls/{site}.key"

    @property
    def asset_cache(self) -> str:
        """Folder of Nginx's cache of immutable assets."""
        return f"{self.root}/cache"

    @property
    def assets(self) -> str:
        """Folder of the assets of releases before, by service."""
        return f"{self.root}/assets"

    @property
    def access_log(self) -> str:
        """JSON access log; rotated by the Nginx package's own rule."""
        return f"{ACCESS_LOGS}/rondo-{self.project}.access.log"

    @property
    def error_log(self) -> str:
        """Error log of the project's sites."""
        return f"{ACCESS_LOGS}/rondo-{self.project}.error.log"

    def context(self, service: str) -> str:
        """Folder of the last build context of a service."""
        return f"{self.root}/contexts/{service}"

    def environment(self, digest: str) -> str:
        """Folder of one environment: `env` for docker run, and a file per mounted secret."""
        return f"{self.root}/environments/{digest}"

    @property
    def pulled(self) -> str:
        """Images that were pulled for the project, one a line: what may go when none names them."""
        return f"{self.root}/pulled"

    @property
    def releases(self) -> str:
        """Folder of the release records; `current` is a symlink to the one in force."""
        return f"{self.root}/releases"

    @property
    def lock(self) -> str:
        """File that a change of the cluster holds locked."""
        return f"{self.root}/lock"

    @property
    def transactions(self) -> str:
        """File that a change of a slot holds locked, also when its client is gone."""
        return f"{self.root}/lock.transaction"

    def container_logs(self, slot: str) -> str:
        """Folder on the server for a container's own log files."""
        return f"{CONTAINER_LOGS}/{self.project}/{slot}"

    @property
    def audit_log(self) -> str:
        """One line for each command that changed the server; rotated by ourselves."""
        return f"{CONTAINER_LOGS}/{self.project}/audit.log"

    @property
    def proof(self) -> str:
        """Folder whose files are named by the secrets of load runs; can be entered, not listed."""
        return f"{self.root}/proof"

    @property
    def maintenance(self) -> str:
        """Folder of the maintenance pages; a site is closed while its file `SITE.on` is there."""
        return f"{self.root}/maintenance"

    @property
    def drained(self) -> str:
        """File of an edge that lists the servers out of its rotation."""
        return f"{self.root}/drained"

    @property
    def network(self) -> str:
        """Docker network of the project on each server."""
        return f"rondo-{self.project}"
