"""
The configuration that is written when there is none: each key with what it is for.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from siger.config.files import create
from siger.config.nodes import ConfigErrors, Origin, SettingError

__all__ = ["default_text", "write_default"]

_TEXT = """\
# Configuration of Siger, the API gateway.
#
# Check it with `siger check`. What is left out has the default that is shown here, except that without an address of
# Consul or NATS there is none. ${VAR} stands for an environment variable, ${VAR:default} does so with a default;
# between braces or brackets, put it in quotes. A variable SIGER_<KEY> overrides a key: SIGER_LOG_LEVEL overrides
# log_level, and SIGER_CONSUL__TOKEN the token in consul.

# Where to accept connections: ":8080" on every interface, or "127.0.0.1:8080", or "[::1]:8080".
port: ":8080"

# The Consul agent that knows your services. "" means no Consul: then only those under services: exist.
consul_address: "localhost:8500"

# The NATS server that keeps the job queue; "embedded" runs a bundled one; "" means no jobs. (Not used by this version.)
nats_address: "localhost:4222"

# How much to log: debug, info, warn, error or critical.
log_level: info

# What tokens are signed with: at least 32 bytes that nobody else knows. This one was made at random for this file.
# (Not used by this version.)
jwt_secret: "@SECRET@"

# How long a token is good for, in minutes. (Not used by this version.)
jwt_expiration: 60

# The directory for what the gateway keeps.
data_dir: ./data

# Where to log requests, one line of JSON each: a file, "-" for standard output, or off.
access_log: ./data/access.log

# How many seconds running requests get to finish when the gateway is told to stop.
drain_timeout: 30

# How many processes share the port. (This version has one.)
workers: 1

# The proxies in front of this gateway, as networks such as 10.0.0.0/8. Only they are believed when they say, in
# X-Forwarded-For or Forwarded, which address a request came from.
trusted_proxies: []

# How often one client may call: on average, and at once. (Read but not enforced by this version.)
# rate_limit: {requests_per_second: 100, burst: 200, key: client_ip}

# Which web pages of other origins may call the gateway from a browser. (Read but not acted on by this version.)
# cors:
#   origins: ["http://localhost:3000"]
#   methods: [GET, POST, PUT, DELETE, OPTIONS, PATCH]
#   headers: [Accept, Authorization, Content-Type, X-Request-ID]
#   credentials: true

# Who may create accounts: open for everyone, admin for admins, closed for nobody. (Not used by this version.)
# registration: open

# How Consul is used.
consul:
  # Which of its services clients can reach: all, tagged, or a list of names.
  expose: all
  # The access token and the datacenter, if your Consul wants them.
  token: ""
  datacenter: ""
  # Whether the gateway registers itself, with its health check, and under which address: "" finds it out.
  register: true
  address: ""
  tags: []
  # Whether any Consul server may answer, which is faster and survives the loss of the leader.
  stale: true

# What every service gets unless it says otherwise below, those that only Consul knows included.
service_defaults:
  # Who may call: public is everyone. (This version knows nothing else.)
  auth: public
  # Which instance gets the next request: round_robin, random, least_connections or p2c (the better of two).
  balancer: round_robin
  # What instances speak. (This version: http1.)
  protocol: http1
  # How many seconds an instance may take to accept a connection, to begin its response, and between two pieces of data.
  timeouts: {connect: 3, response: 60, idle: 60}
  # How many connections to each instance, and how many requests may wait for one.
  max_connections: 256
  max_waiting: 1024
  # The largest request body.
  max_body: 16 GiB
  # The Host that instances see: preserve (the client's), instance (its own address), or a name.
  host: preserve
  # Whether WebSocket connections are let through, and whether instances see the client's Authorization.
  websocket: true
  forward_authorization: true

# Services, reached at /services/NAME/. A name that Consul knows too has the instances of both.
services: {}
#  echo:
#    instances: ["127.0.0.1:9001", {address: 127.0.0.1, port: 9002, weight: 2}]
#    balancer: least_connections

# More ways to services: by host, path and method. strip takes the beginning off the path, rewrite puts another there.
routes: []
#  - {host: api.example.com, path: /v1/, methods: [GET, POST], service: echo, strip: /v1}

# What clients may cost, in bytes, numbers and seconds.
limits:
  request_line: 16384
  header_bytes: 65536
  header_count: 100
  header_timeout: 10          # for all header fields to arrive
  keepalive_timeout: 75       # for the next request on an idle connection
  max_requests: 10000         # on one connection
  body_timeout: 60            # between two pieces of a request body
  min_body_rate: 500          # bytes a second
  write_timeout: 60           # for a client that stopped reading
  connections: 10000
  connections_per_client: 1000
  local_body: 1 MiB           # for what the gateway itself answers
"""


def default_text() -> str:
    """
    The default file, with a secret of its own.
    """
    return _TEXT.replace("@SECRET@", secrets.token_hex(32))


def write_default(path: Path) -> bool:
    """
    Write the default file if there is none, readable by its owner alone.

    @return: whether it was written.
    @raise ConfigErrors: when it cannot be.
    """
    try:
        return not path.exists() and create(path, default_text().encode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigErrors([SettingError(f"cannot be written: {reason}", "", Origin(str(path)))]) from error
