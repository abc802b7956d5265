"""
What was measured of jobs, in sentences, as JSON and as a page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.jobs.accepting import Accepting
from benchmarks.jobs.remembering import Remembering
from benchmarks.jobs.stage import ALWAYS, DEFAULT
from benchmarks.jobs.streaming import Streaming

__all__ = ["REACH", "Found", "as_json", "as_markdown", "say_accepting", "say_remembering", "say_streaming"]

REACH = 3000
"""
How many jobs a second a gateway is to accept on one core.
"""

_SYNC = {
    ALWAYS: "every write on the disk before it is acknowledged",
    DEFAULT: "nats-server's default: on the disk within 2 minutes",
}


@dataclass
class Found:
    """
    All of it.
    """

    accepting: list[Accepting] = field(default_factory=list)
    streaming: Streaming | None = None
    remembering: Remembering | None = None


def say_accepting(found: Accepting) -> str:
    """
    In one line.
    """
    return (
        f"accepted, {_SYNC[found.sync]}: {found.rate:,.0f} jobs/s over {found.connections} connections "
        f"(reach: {REACH:,}), p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms; "
        f"gateway {found.cpu:.0f} us CPU each, {found.busy:.0%} of its core; nats-server {found.nats_cpu:.0f} us"
    )


def say_streaming(found: Streaming) -> str:
    """
    In one line.
    """
    return (
        f"events to {found.readers} readers, {found.events:,} each: {found.replay:,.0f}/s of old ones, "
        f"{found.live:,.0f}/s of new ones; gateway {found.cpu:.0f} us CPU each"
    )


def say_remembering(found: Remembering) -> str:
    """
    In one line.
    """
    return (
        f"{found.records:,} records of {found.record} bytes: gateway {found.after / 2**20:.0f} MiB resident, "
        f"{found.before / 2**20:.0f} MiB without ({(found.after - found.before) / found.records:,.0f} bytes each); "
        f"ready after {found.ready:.1f} s; a page by tag {found.page:.1f} ms, or {found.nothing:.1f} ms without a match"
    )


def as_json(machine: Mapping[str, object], found: Found) -> str:
    """
    Everything.
    """
    return json.dumps({"machine": machine, **asdict(found)}, indent=1, default=str) + "\n"


def as_markdown(machine: Mapping[str, object], found: Found) -> str:
    """
    A page.
    """
    peers = machine["peers"]
    version = peers["siger"] if isinstance(peers, Mapping) else ""
    lines = [
        "# What jobs cost",
        "",
        f"Run on {machine['date']} at commit {machine['commit']}, on a machine with {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory']} of memory, Linux {machine['kernel']}, {machine['python']}; "
        f"Siger {version}; {machine['nats']}. The gateway ran on core {machine['proxy_core']}; nats-server, wrk and "
        f"the readers of events on core {machine['load_core']}. README.md beside this page tells what is measured.",
        "",
        *_accepting_table(found),
        "",
        *_others_table(found),
    ]
    return "\n".join(lines) + "\n"


def _accepting_table(found: Found) -> list[str]:
    head = (
        "| writes of nats-server | jobs/s | p50 ms | p99 ms | gateway: us CPU each | of its core | nats: us CPU each |"
    )
    rows = [
        f"| {_SYNC[each.sync]} | {each.rate:,.0f} | {each.p50:.1f} | {each.p99:.1f} | {each.cpu:.0f} | {each.busy:.0%} "
        f"| {each.nats_cpu:.0f} |"
        for each in found.accepting
    ]
    return [
        f"Jobs accepted, {found.accepting[0].connections} at a time:",
        "",
        head,
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]


def _others_table(found: Found) -> list[str]:
    assert found.streaming is not None
    assert found.remembering is not None
    streaming, known = found.streaming, found.remembering
    return [
        "| | |",
        "|---|---:|",
        f"| events a second to {streaming.readers} readers that catch up | {streaming.replay:,.0f} |",
        f"| events a second to {streaming.readers} readers, as they happen | {streaming.live:,.0f} |",
        f"| gateway, us CPU for an event | {streaming.cpu:.0f} |",
        f"| memory of a gateway that knows no job | {known.before / 2**20:.0f} MiB |",
        f"| memory of one that knows {known.records:,} of {known.record} bytes | {known.after / 2**20:.0f} MiB |",
        f"| from its start until it knows them | {known.ready:.1f} s |",
        f"| a page of 50 of them, by a tag that every tenth has | {known.page:.1f} ms |",
        f"| the same, by a tag that none of the user's {known.records // 2:,} has | {known.nothing:.1f} ms |",
    ]
