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

# Where to accept connections over TLS besides, and the certificates for that, those of their issuers behind them in the
# same file. Which one a client gets is decided by the names in them; the first is for all other names. New files are
# used without a restart.
# tls:
#   port: ":8443"
#   certificates:
#     - {certificate: example.com.pem, key: example.com.key}
#   min_version: "1.2"              # or 1.3

# Whether clients may speak HTTP/2, as those of gRPC must: without TLS they begin with it, on the same port.
http2: true

# The Consul agent that knows your services. "" means no Consul: then only those under services: exist.
consul_address: "localhost:8500"

# The NATS server that keeps accounts, revoked tokens and the job queue: host:port, several with commas between.
# "embedded" runs a bundled one, with its files in data_dir; "" means none of all that.
nats_address: "localhost:4222"

# How much to log: debug, info, warn, error or critical.
log_level: info

# What tokens are signed with: at least 32 bytes that nobody else knows. This one was made at random for this file.
# Several gateways need the same one. Left out, a random one is made, and kept in data_dir.
jwt_secret: "@SECRET@"

# How long a token is good for, in minutes.
jwt_expiration: 60

# To change the secret without signing everybody out: secrets with names. The first signs, all of them verify, and
# tokens without a name verify with jwt_secret, if that is still there.
# jwt_keys:
#   - {kid: "2027-01", secret: "${NEW_SECRET}"}
#   - {kid: "2026-07", secret: "${OLD_SECRET}"}

# Others whose tokens are believed, each with its keys, or with the URL where it publishes them.
# issuers:
#   - issuer: https://id.example.com/
#     audience: siger               # what their tokens must be made out to
#     jwks_url: https://id.example.com/.well-known/jwks.json
#     algorithms: [RS256, PS256, ES256, EdDSA]
#     token_type: ""                # the typ of their tokens; "" takes at+jwt, JWT or none
#     user_claim: sub               # which claims have the user's id, name and role; a.b leads into objects
#     name_claim: preferred_username
#     role_claim: role
#     roles: {administrators: admin} # what their roles are called here; without, as there, save admin
#     default_role: user            # of users without a role that is known here; "" refuses them
#     max_lifetime: 86400           # seconds between the beginning and the end of a token
#   - issuer: build-server
#     keys:
#       - {kid: k1, algorithm: ES256, file: keys/build-server.pem}  # or public_key: with the PEM text itself

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

# The networks whose connections begin with a PROXY protocol header (version 1 or 2). From them it is required.
proxy_protocol: []

# How often one client may call: on average, and at once; or off. key says who shares a limit: client_ip, user, route,
# service, claim:NAME or header:NAME, or several of them, as [user, route]. Clients make up header fields as they like,
# so limit addresses beside them: a list of limits holds together. shadow: true only counts.
rate_limit: {requests_per_second: 100, burst: 200, key: client_ip, shadow: false}

# Which web pages of other origins may call the gateway from a browser. Left out: none.
# cors:
#   origins: ["http://localhost:3000"]
#   methods: [GET, POST, PUT, DELETE, OPTIONS, PATCH]
#   headers: [Accept, Authorization, Content-Type, Idempotency-Key, X-Request-ID,
#     Grpc-Timeout, X-Grpc-Web, X-User-Agent]
#   expose: [ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID,
#     Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin]
#   credentials: true             # whether browsers send cookies along
#   max_age: 600                  # how many seconds browsers remember the answer

# Who may create accounts: open for everyone, admin for admins, closed for nobody.
registration: open

# Roles besides user and admin. Those that an auth below asks for need not be named here.
roles: []

# Accounts for a demonstration: made when they do not exist, on a gateway that only listens on 127.0.0.1.
# seed_users:
#   - {username: visitor, password: "a password that visitors are told", role: user, id: "7"}

# How the gateway presents itself to the NATS server: with user and password, a token, or a file of credentials.
nats:
  user: ""
  password: ""
  token: ""
  credentials: ""
  # How many servers of a cluster keep a copy of everything.
  replicas: 1

# Jobs: there are some where nats_address is not "".
jobs:
  # The types that there are, and the types of GPUs that a job can ask for; any is always among those.
  types: [ai_training, data_processing, inference]
  gpu_types: [A100, H100, H200, L4, any]
  # How many GPUs one job can ask for.
  max_gpus: 64
  # What one user may have at once: jobs that wait, jobs that run, GPUs that those use, and jobs that are kept, ended or
  # not. 0 is no limit.
  quotas: {queued: 1000, running: 0, gpus: 0, kept: 100000}
  # How many days finished jobs, and the events of all, are kept.
  retention_days: 7
  # After how many seconds of silence a worker's job is given to another, and after how many it has failed when nobody
  # takes it: at least three times as many.
  lease: 30
  lost_after: 300
  # How many seconds a cancelled job gets to end by itself.
  grace: 30

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
  # Who may call: public is everyone, user whoever has a token, and a list of roles, as [operator], whoever has one of
  # them. admin may do everything.
  auth: public
  # Which instance gets the next request: round_robin, random, least_connections or p2c (the better of two).
  balancer: round_robin
  # What instances speak: http1, h2c (HTTP/2 without TLS), h2 (with TLS), or https (HTTP/1.1 with TLS). Left out: h2c
  # where a route for gRPC leads, or else http1. An instance in Consul can say otherwise, as meta protocol or as a tag.
  # protocol: http1
  # With h2 and https: who must have signed their certificates, if not one of those that the system trusts; the name in
  # these, if not the address of the instance; and the gateway's own certificate, if instances ask for one.
  # tls: {ca: ca.pem, server_name: backend.internal, verify: true, certificate: gateway.pem, key: gateway.key}
  # How many seconds an instance may take to accept a connection, to begin its response, and between two pieces of data;
  # and how many a whole gRPC call may take, whatever its client says. 0 is no limit.
  timeouts: {connect: 3, response: 60, idle: 60, deadline: 0}
  # How many connections to each instance; of HTTP/2 so many, with so many requests at once on each.
  max_connections: 256
  h2_connections: 4
  max_streams: 100
  # How many requests may wait for an instance's connections.
  max_waiting: 1024
  # The largest request body.
  max_body: 16 GiB
  # The Host that instances see: preserve (the client's), instance (its own address), or a name.
  host: preserve
  # Whether WebSocket connections are let through.
  websocket: true
  # Whether instances see the client's Authorization. Left out: where auth is public.
  # forward_authorization: true
  # Limits and origins instead of those above, or off for none.
  # rate_limit: {requests_per_second: 1000, key: [user, service]}
  # cors: {origins: ["https://app.example.com"]}

# Services, reached at /services/NAME/. A name that Consul knows too has the instances of both.
services: {}
#  echo:
#    instances: ["127.0.0.1:9001", {address: 127.0.0.1, port: 9002, weight: 2}]
#    balancer: least_connections
#    auth: user
#    rate_limit: [{requests_per_second: 50, key: user}, {requests_per_second: 5000, key: service}]
#  trainer:
#    protocol: h2c
#    instances: ["127.0.0.1:50051"]
#    # Ask its instances whether they are well (grpc.health.v1), about the server as a whole or a service of its own.
#    # rise good answers in a row make an instance well, fall bad ones in a row end that; or off.
#    health: {grpc: "", interval: 10, timeout: 2, rise: 2, fall: 3}

# More ways to services: by host, path and method. strip takes the beginning off the path, rewrite puts another there.
# grpc takes the calls of one gRPC service, by its full name. One that an instance names in its meta grpc-services, as
# "package.v1.Service, package.v2.Service", needs none: its calls go there by the service's own rules, unless a route
# takes them.
routes: []
#  - {host: api.example.com, path: /v1/, methods: [GET, POST], service: echo, strip: /v1}
#  - {path: /v1/reports, service: echo, auth: [auditor], cors: off, rate_limit: off, forward_authorization: true}
#  - {grpc: package.v1.Trainer, service: trainer, timeouts: {deadline: 3600}}

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
  streams: 100                # requests at once on one connection of HTTP/2
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
