"""What was declared: servers, services, accessories and sites, validated and frozen.

These models are the schema, the defaults and the reference at once: `inv schema` and
`docs/inventory.md` are made from them. Reading files is the business of `rondo.source`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    Jump,
    LocalPath,
    Module,
    Name,
    NginxVersion,
    NodeVersion,
    OptionName,
    Port,
    PythonVersion,
    Route,
    Seconds,
    SecretName,
    ServerName,
    Text,
    TimeZone,
    Url,
    UrlPath,
    User,
    UserId,
    VariableName,
    VolumeSource,
)

MEBIBYTE = 1024**2
Weight = Annotated[int, Field(ge=1, le=1000)]


class Model(BaseModel):
    """A part of the inventory: immutable, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,  # a version written 24 is text, too
        hide_input_in_errors=True,  # a traceback must not show what may be a secret
        defer_build=True,  # one validator for the whole, when the first inventory is read
    )


class Server(Model):
    """A Linux machine reached over SSH, with Docker Engine and its own Nginx."""

    address: Host
    """Name or address to which SSH connects."""
    port: Port = 22
    """Port of its sshd."""
    user: User = "deploy"
    """User to log in as: root, one with sudo that asks no password, or one in the docker group."""
    key: LocalPath | None = None
    """Private key file; without it the SSH agent and ~/.ssh are asked."""
    groups: tuple[Name, ...] = ()
    """Groups that -H and `servers:` may name."""
    private_address: Address | None = None
    """Address by which the other servers reach this one; accessories listen here."""
    jump: Jump | None = None
    """Bastion to go through: user@host:port, or the name of another server."""
    edge: bool = False
    """Balances over the other servers instead of running services (not deployed to yet)."""


class Secret(Model):
    """Where a secret's value comes from, and how the container gets it."""

    env: VariableName | None = None
    """Variable of the operator's environment."""
    file: LocalPath | None = None
    """File on the operator's machine; one final line break is dropped."""
    command: Command | None = None
    """Command on the operator's machine whose standard output is the value."""
    mount: Literal["file", "env"] = "file"
    """As file /run/secrets/NAME (with NAME_FILE set), or as variable NAME."""


class Health(Model):
    """The health check that a container must pass, through Nginx, before it may fill a slot."""

    path: UrlPath = "/"
    """Path to ask for, with the site's real Host and https."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    """Status that means healthy."""
    successes: Annotated[int, Field(ge=1, le=100)] = 2
    """Right answers in a row that are needed."""
    interval: Seconds = 0.2
    """Pause between two questions."""
    timeout: Seconds = 5
    """Longest time for one answer."""
    deadline: Seconds = 60
    """Longest time from start to healthy."""


class Limits(Model):
    """What a container may use of its server."""

    memory: Annotated[Bytes, Field(ge=6 * MEBIBYTE)] | None = None
    """Memory, like 512m."""
    cpus: Annotated[float, Field(ge=0.01, le=1024, allow_inf_nan=False)] | None = None
    """Processors, like 1.5."""
    pids: Annotated[int, Field(ge=16, le=4_194_304)] = 1024
    """Processes and threads."""


class Logs(Model):
    """How the container's output is kept, and where its own log files go."""

    max_size: Bytes = 10 * MEBIBYTE
    """Size at which a file of the container's output is rotated."""
    max_files: Annotated[int, Field(ge=1, le=100)] = 3
    """Rotated files that are kept."""
    directory: AbsolutePath | None = None
    """Folder in the container that is /var/log/rondo/PROJECT/SLOT on the server."""


class Volume(Model):
    """Data that outlives the container."""

    source: VolumeSource
    """Name of a Docker volume (kept under PROJECT-NAME), or an absolute path on the server."""
    target: AbsolutePath
    """Where the container sees it."""
    read_only: bool = False
    """Whether the container may only read it."""


class Build(Model):
    """How an image is built from a context."""

    args: dict[VariableName, Text] = {}
    """Build arguments for the Dockerfile; never put secrets here."""
    target: Name | None = None
    """Stage of the Dockerfile to build."""


class ServiceBase(Model):
    """An image run as N containers on each of its servers."""

    context: LocalPath | None = None
    """Folder with the source, relative to the inventory."""
    dockerfile: ContextPath | None = None
    """Dockerfile inside the context; without it Rondo's template for the kind is used."""
    image: Image | None = None
    """Image from a registry, by digest (name@sha256:...), instead of a context."""
    build: Build = Build.model_construct()
    """Build arguments and target."""
    servers: tuple[Name, ...] = ()
    """Servers or groups that run it; all by default."""
    environment: dict[VariableName, Text] = {}
    """Plain variables of the container."""
    secrets: dict[SecretName, Secret] = {}
    """Secret values, by name."""
    command: Command | None = None
    """Command instead of the image's own."""
    user: UserId | None = None
    """Numeric user (and group) instead of the image's own."""
    release_command: Command | None = None
    """Runs once per deploy in the new image, before the first switch: migrations."""
    release_deadline: Seconds = 600
    """Longest time for the release command."""
    limits: Limits = Limits.model_construct()
    """Memory, processors, processes."""
    logs: Logs = Logs.model_construct()
    """Container output and log files."""
    volumes: tuple[Volume, ...] = ()
    """Data that outlives containers."""
    stop_grace: Seconds = 30
    """Time between SIGTERM and SIGKILL when a container is stopped."""


class SlotService(ServiceBase):
    """A service that answers requests and therefore has slots in an upstream."""

    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """Slots on each server."""
    weights: tuple[Weight, ...] = ()
    """Weight of each slot in the round robin; all 1 by default."""
    listen: Literal["socket", "tcp"] = "socket"
    """Unix sockets (default), or TCP ports published on the server's loopback."""
    first_port: Port = 8001
    """With `listen: tcp`, port of the first slot; the next ones follow."""
    container_port: Port = 8000
    """With `listen: tcp`, port on which the container listens."""
    health: Health = Health.model_construct()
    """Health check."""
    drain: Seconds = 30
    """Longest wait for requests in flight when a slot is emptied."""
    balance: Literal["round_robin", "least_conn", "random", "ip_hash"] = "round_robin"
    """How Nginx spreads requests over the slots."""


class StaticService(SlotService):
    """A built frontend, served by an Nginx of its own in a container."""

    kind: Literal["static"]
    output: ContextPath = "dist"
    """Folder that the build writes."""
    build_command: Text = "npm run build"
    """Command that builds it."""
    node: NodeVersion = "24"
    """Version of Node.js to build with."""
    single_page: bool = True
    """Whether unknown paths answer index.html."""
    assets: Route = "/assets/"
    """Path of the files whose names carry a hash: cached for a year."""


class UwsgiService(SlotService):
    """A Python application on uWSGI."""

    kind: Literal["uwsgi"]
    replicas: Annotated[int, Field(ge=1, le=64)] = 3
    """Slots on each server."""
    module: Module = "app:application"
    """WSGI callable, like shop.wsgi:application."""
    python: PythonVersion = "3.11"
    """Version of Python."""
    requirements: ContextPath = "requirements.txt"
    """Requirements file in the context; it must bring uwsgi or pyuwsgi."""
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes per container; by default the server's cores shared by the slots, at least 2."""
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Threads per process."""
    harakiri: Seconds = 60
    """Longest time for one request before its process is ended; 0 for never."""
    buffer_size: Annotated[int, Field(ge=4096, le=65535)] = 32768
    """Largest block of request headers, in bytes."""
    lazy: bool = False
    """Load the application in each process (true) or once before forking (false)."""
    max_requests: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Requests after which a process is renewed; 0 for never."""
    options: dict[OptionName, Text] = {}
    """Further lines of uwsgi.ini."""


class HttpService(SlotService):
    """Anything that speaks HTTP: gunicorn, granian, uvicorn, node ..."""

    kind: Literal["http"]
    replicas: Annotated[int, Field(ge=1, le=64)] = 3
    """Slots on each server."""
    websocket: bool = True
    """Pass on upgrades to WebSocket."""


class WorkerService(ServiceBase):
    """Containers without traffic: queues, schedulers."""

    kind: Literal["worker"]
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """Containers on each server."""


Service = Annotated[
    StaticService | UwsgiService | HttpService | WorkerService, Field(discriminator="kind")
]


class Accessory(Model):
    """A container with a published image and data of its own: started and kept, never rolled."""

    image: Image
    """Image, like postgres:15."""
    server: Name
    """The one server that runs it; the others reach it by that server's private address."""
    port: Port | None = None
    """Port it listens on; containers reach it as NAME:PORT on every server."""
    command: Command | None = None
    """Command instead of the image's own."""
    environment: dict[VariableName, Text] = {}
    """Plain variables of the container."""
    secrets: dict[SecretName, Secret] = {}
    """Secret values, by name."""
    volumes: tuple[Volume, ...] = ()
    """Data that outlives the container."""
    limits: Limits = Limits.model_construct()
    """Memory, processors, processes."""
    logs: Logs = Logs.model_construct()
    """Container output."""
    ready: Command | None = None
    """Command in the container that succeeds once it is ready, like pg_isready."""
    ready_deadline: Seconds = 60
    """Longest wait for that."""


class Tls(Model):
    """The certificate of a site."""

    certificate: LocalPath
    """PEM file: the certificate, then its intermediates."""
    key: LocalPath
    """PEM file of the private key; sent over standard input, kept 0600."""


class Hsts(Model):
    """HTTP Strict Transport Security; opt in when every name is served over TLS for good."""

    max_age: Age = 31_536_000
    """How long browsers insist on TLS."""
    include_subdomains: bool = False
    """Whether that covers every name below."""


class Timeouts(Model):
    """How long Nginx waits for a backend."""

    connect: Seconds = 2
    """To connect."""
    read: Seconds = 60
    """Between two reads of an answer."""
    send: Seconds = 60
    """Between two writes of a request."""


class Site(Model):
    """Server names, TLS and the routes to services."""

    server_names: Annotated[tuple[ServerName, ...], Field(min_length=1)]
    """Names of the site; the first is the Host of health checks."""
    tls: Tls | None = None
    """Certificate files. Without it the site answers on port 80 only."""
    routes: Annotated[dict[Route, Name], Field(min_length=1)]
    """Path prefix to service."""
    hsts: Hsts | None = None
    """Strict Transport Security."""
    body_size: Bytes = 50 * MEBIBYTE
    """Largest request body."""
    gzip: bool = True
    """Compress text answers (level 1: see docs)."""
    security_headers: bool = True
    """X-Content-Type-Options, X-Frame-Options, Referrer-Policy."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Further response headers."""
    timeouts: Timeouts = Timeouts.model_construct()
    """Waiting for backends."""


class Mirrors(Model):
    """Package mirrors, given to the Dockerfiles as build arguments."""

    pypi: Url | None = None
    """Index URL for pip."""
    npm: Url | None = None
    """Registry URL for npm."""
    debian: Url | None = None
    """Archive URL for apt."""


class SshSettings(Model):
    """How servers are reached."""

    known_hosts: LocalPath = "known_hosts"
    """File of pinned host keys beside the inventory; ~/.ssh/known_hosts is read as well."""
    host_keys: Literal["strict", "accept-new"] = "strict"
    """Refuse unknown keys, or pin them when first seen; a changed key is always refused."""
    connect_timeout: Seconds = 10
    """Longest time to connect and log in."""
    keepalive: Seconds = 15
    """Interval of keepalives."""


class BuildSettings(Model):
    """How images come to the servers."""

    mode: Literal["each", "once"] = "each"
    """Build on every server in parallel, or once and carry the image to the others."""
    deadline: Seconds = 1800
    """Longest time for one build."""
    mirrors: Mirrors = Mirrors.model_construct()
    """Package mirrors."""


class NginxSettings(Model):
    """What holds for every site."""

    version: NginxVersion = "1.18"
    """Oldest Nginx among the servers; newer directives are used only where it has them."""
    ipv6: bool = True
    """Listen on IPv6 as well."""
    asset_cache: Bytes = 512 * MEBIBYTE
    """Largest cache of immutable assets on disk; 0 for none."""


class Settings(Model):
    """Defaults for the whole project."""

    ssh: SshSettings = SshSettings.model_construct()
    """SSH."""
    build: BuildSettings = BuildSettings.model_construct()
    """Builds."""
    nginx: NginxSettings = NginxSettings.model_construct()
    """Nginx."""
    time_zone: TimeZone = "Etc/UTC"
    """Time zone of servers and images."""
    keep_releases: Annotated[int, Field(ge=1, le=100)] = 5
    """Releases kept on each server for rollback."""
    docker_packages: Literal["distribution", "vendor"] = "distribution"
    """Where bootstrap takes Docker Engine from."""
    nginx_packages: Literal["distribution", "vendor"] = "distribution"
    """Where bootstrap takes Nginx from."""


class Inventory(Model):
    """The whole of what was declared."""

    extends: LocalPath | None = None
    """Inventory file that this one extends; mappings merge, all else replaces."""
    project: Name
    """Name of the project: prefix of everything on the servers."""
    servers: Annotated[dict[Name, Server], Field(min_length=1)]
    """Servers by name."""
    services: dict[Name, Service] = {}
    """Services by name."""
    accessories: dict[Name, Accessory] = {}
    """Accessories by name."""
    sites: dict[Name, Site] = {}
    """Sites by name."""
    settings: Settings = Settings.model_construct()
    """Defaults for the whole project."""
