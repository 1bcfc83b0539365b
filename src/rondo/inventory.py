"""What was declared: servers, services, accessories and sites, validated and frozen.

These models are the schema, the defaults and the reference at once: `inv schema` and
`docs/inventory.md` are made from them, descriptions and examples from the texts below the
fields. Reading files is the business of `rondo.source`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rondo.model import Model
from rondo.objectives import Proof
from rondo.words import (
    AbsolutePath,
    Address,
    Age,
    Bytes,
    Command,
    ContextPath,
    HeaderName,
    HeaderValue,
    Host,
    Image,
    ImagePrefix,
    Jump,
    LocalPath,
    Module,
    Name,
    Network,
    NginxVersion,
    NodeVersion,
    OptionName,
    Port,
    PythonVersion,
    Route,
    Seconds,
    SecretName,
    ServerName,
    Share,
    Text,
    TimeZone,
    Url,
    UrlPath,
    User,
    UserId,
    VariableName,
    Version,
    VolumeSource,
)

MEBIBYTE = 1024**2
Weight = Annotated[int, Field(ge=1, le=1000)]


class Server(Model):
    """A Linux machine reached over SSH, with Docker Engine and its own Nginx."""

    address: Host
    """Name or address to which SSH connects. Example: 203.0.113.10"""
    port: Port = 22
    """Port of its sshd. Example: 2222"""
    user: User = "deploy"
    """User to log in as: root, one with sudo that asks no password, or one in the docker group.

    Example: root
    """
    key: LocalPath | None = None
    """Private key file; without it the SSH agent and ~/.ssh are asked.

    Example: ~/.ssh/id_ed25519
    """
    groups: tuple[Name, ...] = ()
    """Groups that -H and `servers:` may name. Example: [web]"""
    private_address: Address | None = None
    """Address by which the other servers reach this one; accessories listen here."""
    jump: Jump | None = None
    """Bastion to go through: user@host:port, or the name of another server."""
    edge: bool = False
    """Balances over the other servers, by their private addresses, instead of running services."""


class Secret(Model):
    """Where a secret's value comes from, and how the container gets it."""

    env: VariableName | None = None
    """Variable of the operator's environment. Example: DATABASE_PASSWORD"""
    file: LocalPath | None = None
    """File on the operator's machine; one final line break is dropped.

    Example: secrets/database_password
    """
    command: Command | None = None
    """Command on the operator's machine whose standard output is the value.

    Example: [sops, decrypt, db.txt]
    """
    mount: Literal["file", "env"] = "file"
    """As file /run/secrets/NAME (with NAME_FILE set), or as variable NAME."""


class Health(Model):
    """The health check that a container must pass, through Nginx, before it may fill a slot."""

    path: UrlPath = "/"
    """Path to ask for, with the site's real Host and https."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    """Status that means healthy. Example: 204"""
    successes: Annotated[int, Field(ge=1, le=100)] = 2
    """Right answers in a row that are needed. Example: 3"""
    interval: Seconds = 0.2
    """Pause between two questions. Example: 500ms"""
    timeout: Seconds = 5
    """Longest time for one answer. Example: 2s"""
    deadline: Seconds = 60
    """Longest time from start to healthy. Example: 2m"""


class Limits(Model):
    """What a container may use of its server."""

    memory: Annotated[Bytes, Field(ge=6 * MEBIBYTE)] | None = None
    """Memory, at least 6m. Example: 512m"""
    cpus: Annotated[float, Field(ge=0.01, le=1024, allow_inf_nan=False)] | None = None
    """Processors. Example: 1.5"""
    pids: Annotated[int, Field(ge=16, le=4_194_304)] = 1024
    """Processes and threads. Example: 256"""


class Logs(Model):
    """How the container's output is kept, and where its own log files go."""

    max_size: Bytes = 10 * MEBIBYTE
    """Size at which a file of the container's output is rotated. Example: 20m"""
    max_files: Annotated[int, Field(ge=1, le=100)] = 3
    """Rotated files that are kept. Example: 5"""
    directory: AbsolutePath | None = None
    """Folder in the container that is /var/log/rondo/PROJECT/SLOT on the server.

    Example: /var/log/shop
    """


class Volume(Model):
    """Data that outlives the container."""

    source: VolumeSource
    """Name of a Docker volume (kept as PROJECT_NAME), or an absolute path on the server.

    Example: uploads
    """
    target: AbsolutePath
    """Where the container sees it. Example: /srv/uploads"""
    read_only: bool = False
    """Whether the container may only read it."""


class Build(Model):
    """How an image is built from a context."""

    args: dict[VariableName, Text] = {}
    """Build arguments for the Dockerfile; never put secrets here. Example: {VITE_CURRENCY: EUR}"""
    target: Name | None = None
    """Stage of the Dockerfile to build. Example: production"""


class ServiceBase(Model):
    """An image run as N containers on each of its servers."""

    context: LocalPath | None = None
    """Folder with the source, relative to the inventory. Example: backend"""
    dockerfile: ContextPath | None = None
    """Dockerfile inside the context; without it Rondo's template for the kind is used."""
    image: Image | None = None
    """Image from a registry, by digest, instead of a context.

    Example: ghcr.io/a/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    build: Build = Build.model_construct()
    """Build arguments and target."""
    servers: tuple[Name, ...] = ()
    """Servers or groups that run it; all by default. Example: [web]"""
    environment: dict[VariableName, Text] = {}
    """Plain variables of the container. Example: {DJANGO_DEBUG: "0"}"""
    secrets: dict[SecretName, Secret] = {}
    """Secret values, by name. Example: {database_password: {env: DATABASE_PASSWORD}}"""
    command: Command | None = None
    """Command instead of the image's own. Example: [python, worker.py]"""
    user: UserId | None = None
    """Numeric user (and group) instead of the image's own."""
    release_command: Command | None = None
    """Runs once per deploy in the new image, before the first switch: migrations."""
    release_deadline: Seconds = 600
    """Longest time for the release command. Example: 30m"""
    limits: Limits = Limits.model_construct()
    """Memory, processors, processes."""
    logs: Logs = Logs.model_construct()
    """Container output and log files."""
    volumes: tuple[Volume, ...] = ()
    """Data that outlives containers."""
    stop_grace: Seconds = 30
    """Time between SIGTERM and SIGKILL when a container is stopped. Example: 1m"""


class SlotService(ServiceBase):
    """A service that answers requests and therefore has slots in an upstream."""

    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """Slots on each server. Example: 5"""
    weights: tuple[Weight, ...] = ()
    """Weight of each slot in the round robin; all 1 by default. Example: [2, 1, 1]"""
    listen: Literal["socket", "tcp"] = "socket"
    """Unix sockets (default), or TCP ports published on the server's loopback."""
    first_port: Port = 8001
    """With `listen: tcp`, port of the first slot; the next ones follow. Example: 9001"""
    container_port: Port = 8000
    """With `listen: tcp`, port on which the container listens. Example: 8080"""
    health: Health = Health.model_construct()
    """Health check."""
    drain: Seconds = 30
    """Longest wait for requests in flight when a slot is emptied. Example: 1m"""
    parallel: Share | None = None
    """Slots that move at once on a server, a number or a share; by default `settings.roll`'s.

    Example: 50%
    """
    replace: Literal["surge", "in_place"] | None = None
    """New container before the old one stops, or after; by default `settings.roll`'s.

    Example: in_place
    """
    balance: Literal["round_robin", "least_conn", "random", "ip_hash"] = "round_robin"
    """How Nginx spreads requests over the slots."""


class StaticService(SlotService):
    """A built frontend, served by an Nginx of its own in a container."""

    kind: Literal["static"]
    output: ContextPath = "dist"
    """Folder that the build writes. Example: build"""
    build_command: Text = "npm run build"
    """Command that builds it. Example: pnpm build"""
    node: NodeVersion = "24"
    """Version of Node.js to build with. Example: 22"""
    single_page: bool = True
    """Whether unknown paths answer index.html."""
    assets: Route = "/assets/"
    """Path of the files whose names carry a hash: cached for a year. Example: /static/"""


class UwsgiService(SlotService):
    """A Python application on uWSGI."""

    kind: Literal["uwsgi"]
    replicas: Annotated[int, Field(ge=1, le=64)] = 3
    """Slots on each server. Example: 5"""
    module: Module = "app:application"
    """WSGI callable, like shop.wsgi:application."""
    python: PythonVersion = "3.11"
    """Version of Python. Example: '3.12'"""
    requirements: ContextPath = "requirements.txt"
    """Requirements file in the context; it must bring uwsgi or pyuwsgi.

    Example: requirements/production.txt
    """
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes per container; by default the server's cores shared by the slots, at least 2.

    Example: 4
    """
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Threads per process. Example: 4"""
    harakiri: Seconds = 60
    """Longest time for one request before its process is ended; 0 for never. Example: 2m"""
    buffer_size: Annotated[int, Field(ge=4096, le=65535)] = 32768
    """Largest block of request headers, in bytes. Example: 16384"""
    lazy: bool = False
    """Load the application in each process (true) or once before forking (false)."""
    max_requests: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Requests after which a process is renewed; 0 for never. Example: 10000"""
    options: dict[OptionName, Text] = {}
    """Further lines of uwsgi.ini. Example: {reload-on-rss: "512"}"""


class HttpService(SlotService):
    """Anything that speaks HTTP: gunicorn, granian, uvicorn, node ..."""

    kind: Literal["http"]
    replicas: Annotated[int, Field(ge=1, le=64)] = 3
    """Slots on each server. Example: 5"""
    websocket: bool = True
    """Pass on upgrades to WebSocket."""


class WorkerService(ServiceBase):
    """Containers without traffic: queues, schedulers."""

    kind: Literal["worker"]
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """Containers on each server. Example: 2"""


AnyService = StaticService | UwsgiService | HttpService | WorkerService
Service = Annotated[AnyService, Field(discriminator="kind")]


class Accessory(Model):
    """A container with a published image and data of its own: started and kept, never rolled."""

    image: Image
    """Image, like postgres:15."""
    server: Name
    """The one server that runs it; the others reach it by that server's private address.

    Example: web-1
    """
    port: Port | None = None
    """Port it listens on; containers reach it as NAME:PORT on every server. Example: 5432"""
    command: Command | None = None
    """Command instead of the image's own. Example: [python, worker.py]"""
    environment: dict[VariableName, Text] = {}
    """Plain variables of the container. Example: {DJANGO_DEBUG: "0"}"""
    secrets: dict[SecretName, Secret] = {}
    """Secret values, by name. Example: {database_password: {env: DATABASE_PASSWORD}}"""
    volumes: tuple[Volume, ...] = ()
    """Data that outlives the container."""
    limits: Limits = Limits.model_construct()
    """Memory, processors, processes."""
    logs: Logs = Logs.model_construct()
    """Container output."""
    ready: Command | None = None
    """Command in the container that succeeds once it is ready.

    Example: [pg_isready, --username, shop]
    """
    ready_deadline: Seconds = 60
    """Longest wait for that. Example: 2m"""


class Tls(Model):
    """The certificate of a site."""

    certificate: LocalPath
    """PEM file: the certificate, then its intermediates. Example: tls/shop.pem"""
    key: LocalPath
    """PEM file of the private key; sent over standard input, kept 0600. Example: tls/shop.key"""
    authority: LocalPath | None = None
    """PEM file by which edges verify the servers behind them; by default what their system trusts.

    Example: tls/authority.pem
    """


class Hsts(Model):
    """HTTP Strict Transport Security; opt in when every name is served over TLS for good."""

    max_age: Age = 31_536_000
    """How long browsers insist on TLS. Example: 180d"""
    include_subdomains: bool = False
    """Whether that covers every name below."""


class Timeouts(Model):
    """How long Nginx waits for a backend."""

    connect: Seconds = 2
    """To connect. Example: 5s"""
    read: Seconds = 60
    """Between two reads of an answer. Example: 5m"""
    send: Seconds = 60
    """Between two writes of a request. Example: 2m"""


class Site(Model):
    """Server names, TLS and the routes to services."""

    server_names: Annotated[tuple[ServerName, ...], Field(min_length=1)]
    """Names of the site; the first is the Host of health checks. Example: [shop.example.com]"""
    tls: Tls | None = None
    """Certificate files. Without it the site answers on port 80 only."""
    routes: Annotated[dict[Route, Name], Field(min_length=1)]
    """Path prefix to service. Example: {/: frontend, /api/: backend}"""
    hsts: Hsts | None = None
    """Strict Transport Security."""
    body_size: Bytes = 50 * MEBIBYTE
    """Largest request body. Example: 200m"""
    gzip: bool = True
    """Compress text answers as they are sent."""
    security_headers: bool = True
    """X-Content-Type-Options, X-Frame-Options, Referrer-Policy."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Further response headers. Example: {Permissions-Policy: camera=()}"""
    timeouts: Timeouts = Timeouts.model_construct()
    """Waiting for backends."""
    maintenance: LocalPath | None = None
    """HTML file that `fab maintenance on` shows; without it the one in templates/.

    Example: pages/maintenance.html
    """
    maintenance_allow: tuple[Network, ...] = ()
    """Networks that are let through meanwhile. Example: [203.0.113.0/24]"""


class Mirrors(Model):
    """Package mirrors, given to the Dockerfiles as build arguments."""

    pypi: Url | None = None
    """Index URL for pip. Example: https://mirror.example.com/pypi/simple"""
    npm: Url | None = None
    """Registry URL for npm. Example: https://mirror.example.com/npm"""
    debian: Url | None = None
    """Archive URL for apt. Example: https://mirror.example.com/debian"""


class SshSettings(Model):
    """How servers are reached."""

    known_hosts: LocalPath = "known_hosts"
    """File of pinned host keys beside the inventory; ~/.ssh/known_hosts is read as well.

    Example: servers.known_hosts
    """
    host_keys: Literal["strict", "accept-new"] = "strict"
    """Refuse unknown keys, or pin them when first seen; a changed key is always refused."""
    connect_timeout: Seconds = 10
    """Longest time to connect and log in. Example: 30s"""
    keepalive: Seconds = 15
    """Interval of keepalives. Example: 30s"""


class BuildSettings(Model):
    """How images come to the servers."""

    mode: Literal["each", "once"] = "each"
    """Build on every server in parallel, or once and carry the image to the others."""
    deadline: Seconds = 1800
    """Longest time for one build. Example: 1h"""
    cache: Annotated[Bytes, Field(le=1024**4)] = 10 * 1024 * MEBIBYTE
    """Build cache that each server's Docker Engine may keep, for all projects; 0 for any amount.

    Example: 4g
    """
    mirrors: Mirrors = Mirrors.model_construct()
    """Package mirrors."""


class NginxSettings(Model):
    """What holds for every site."""

    version: NginxVersion = "1.18"
    """Oldest Nginx among the servers; newer directives are used only where it has them.

    Example: '1.26'
    """
    ipv6: bool = True
    """Listen on IPv6 as well."""
    asset_cache: Bytes = 512 * MEBIBYTE
    """Largest cache of immutable assets on disk; 0 for none. Example: 2g"""


class Hooks(Model):
    """Commands on the operator's machine that go with deploys, restarts and rollbacks."""

    before_deploy: Command | None = None
    """Before anything is touched; when it fails, nothing is. Example: [./scripts/announce]"""
    after_deploy: Command | None = None
    """After it is done; the command fails with it, the release stays. Example: [make, smoke]"""
    on_failure: Command | None = None
    """After anything else than success. Example: [./scripts/alert, ops]"""
    deadline: Seconds = 300
    """Longest time for each of them. Example: 30m"""


class RollSettings(Model):
    """How slots move when a release changes or is restarted."""

    parallel: Share = "1"
    """Slots of a service that move at once on a server, a number or a share. Example: 50%"""
    servers_at_once: Share = "1"
    """Servers that move slots at once, a number or a share. Example: 25%"""
    replace: Literal["surge", "in_place"] = "surge"
    """New container before the old one stops; or after, where memory is short for both."""
    pause: Seconds = 0
    """Wait between two batches. Example: 30s"""
    min_healthy: Seconds = 0
    """Time for which a container must stay healthy in its slot, else all goes back. Example: 10s"""


class Settings(Model):
    """Defaults for the whole project."""

    ssh: SshSettings = SshSettings.model_construct()
    """SSH."""
    build: BuildSettings = BuildSettings.model_construct()
    """Builds."""
    nginx: NginxSettings = NginxSettings.model_construct()
    """Nginx."""
    roll: RollSettings = RollSettings.model_construct()
    """How slots move."""
    time_zone: TimeZone = "Etc/UTC"
    """Time zone of servers and images."""
    image_prefix: ImagePrefix = "rondo"
    """Beginning of the names of images that are built: PREFIX/PROJECT/SERVICE. Example: acme"""
    keep_releases: Annotated[int, Field(ge=1, le=100)] = 5
    """Releases kept on each server for rollback. Example: 10"""
    docker_packages: Literal["distribution", "vendor"] = "distribution"
    """Where bootstrap takes Docker Engine from."""
    nginx_packages: Literal["distribution", "vendor"] = "distribution"
    """Where bootstrap takes Nginx from."""


class Inventory(Model):
    """The whole of what was declared."""

    extends: LocalPath | None = None
    """Inventory file that this one extends; mappings merge, all else replaces.

    Example: inventory.yaml
    """
    project: Name
    """Name of the project: prefix of everything on the servers. Example: shop"""
    version: Version | None = None
    """Version of the application: begins the tags of its images and the names of its releases.

    Example: 1.4.2
    """
    servers: Annotated[dict[Name, Server], Field(min_length=1)]
    """Servers by name."""
    services: dict[Name, Service] = {}
    """Services by name."""
    accessories: dict[Name, Accessory] = {}
    """Accessories by name."""
    sites: dict[Name, Site] = {}
    """Sites by name."""
    hooks: Hooks = Hooks.model_construct()
    """Your own commands before and after a change, and on failure."""
    proof: Proof = Proof.model_construct()
    """Load tests: the users, the rate, and what must hold."""
    settings: Settings = Settings.model_construct()
    """Defaults for the whole project."""
