"""
The figures as JSON, as a Markdown page and as the table on the terminal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.figures import Figure, Figures
from benchmarks.measure import Sample
from benchmarks.peers import REFERENCE
from benchmarks.peers.base import BARE, CHAIN, HTTP2, HTTP2_TOKEN, TOKEN
from benchmarks.workloads import IDLE, WORKLOADS

__all__ = ["as_json", "as_markdown", "as_text"]

_TITLES = {workload.name: workload.title for workload in WORKLOADS} | {IDLE: "memory for 1,000 idle connections"}

_MESSAGES = {workload.name: workload.messages for workload in WORKLOADS}

_SERIES = {
    CHAIN: "Full chain: JSON access log to a file, request id both ways, forwarding headers, rate limit by address",
    TOKEN: "The full chain, and a bearer token in every request, checked for signature, issuer, audience and expiry",
    HTTP2: "The full chain, clients that speak HTTP/2 (nghttpx has neither request id nor rate limit, Caddy no limit)",
    HTTP2_TOKEN: "The same, and a bearer token in every call, checked for signature, issuer, audience and expiry",
    BARE: "Bare relay: nothing but the proxying (Siger's chain is always on)",
}

_REACH = (
    ("small", CHAIN, "haproxy", 1.3),
    ("varied", CHAIN, "haproxy", 1.3),
    ("small", CHAIN, "envoy", 0.6),
    ("varied", CHAIN, "envoy", 0.6),
    ("down1m", CHAIN, "haproxy", 1.2),
    ("up1m", CHAIN, "haproxy", 1.2),
    ("small-token", TOKEN, "haproxy", 1.5),
    ("small-token", TOKEN, "envoy", 0.5),
    ("grpc-unique", HTTP2, "haproxy", 1.3),
    ("grpc-alone", HTTP2, "haproxy", 1.3),
    ("grpc-unique", HTTP2, "envoy", 0.5),
    ("grpc-alone", HTTP2, "envoy", 0.5),
)
"""
What Siger is to reach: workload, series, peer, and the most that its CPU time may be of that peer's.
"""


def as_json(machine: Mapping[str, object], options: Mapping[str, object], samples: Sequence[Sample]) -> str:
    """
    Everything: machine, options, figures and the samples they come from.
    """
    figures = Figures(samples)
    tables = {
        workload: {
            series: {peer: asdict(figures.figure(workload, series, peer)) for peer in figures.peers(workload, series)}
            for series in figures.series(workload)
        }
        for workload in figures.workloads()
    }
    page = {"machine": machine, "options": options, "reference": REFERENCE, "figures": tables, "reach": reach(figures)}
    return json.dumps(_plain({**page, "samples": [sample.as_dict() for sample in samples]}), indent=1) + "\n"


def _plain(value: Any) -> Any:
    """
    The value with C{null} for what could not be measured, since JSON has no NaN.
    """
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def reach(figures: Figures) -> list[dict[str, Any]]:
    """
    How Siger stands against what it is to reach, for the workloads that were run.
    """
    found = []
    for workload, series, peer, most in _REACH:
        if workload in figures.workloads() and {"siger", peer} <= set(figures.peers(workload, series)):
            ratio = figures.figure(workload, series, "siger").ratios[peer]
            found.append({"workload": workload, "peer": peer, "ratio": ratio, "most": most, "reached": ratio <= most})
    return found


def as_text(samples: Sequence[Sample]) -> str:
    """
    The ratios to the reference, a row for each proxy and a column for each workload.
    """
    figures = Figures(samples)
    rows = [row for series in _SERIES for row in [*_overview(figures, series), []]]
    lines = [_aligned(row) for row in rows]
    return "\n".join([*lines, *(_verdict(row) for row in reach(figures))])


def as_markdown(machine: Mapping[str, Any], options: Mapping[str, Any], samples: Sequence[Sample]) -> str:
    """
    The page RESULTS.md.
    """
    figures = Figures(samples)
    parts = ["# What a request costs", "", *_machine(machine, options), ""]
    parts += ["## Ratios", "", "CPU time per request, and memory for idle connections, to HAProxy's.", ""]
    parts += [line for series in _SERIES for line in _piped(_overview(figures, series))]
    parts += [*(f"- {_verdict(row)}" for row in reach(figures)), ""]
    for workload in figures.workloads():
        for series in figures.series(workload):
            parts += [f"## {_TITLES[workload]}", "", f"{_SERIES[series]}.", ""]
            parts += [*(_idle_table if workload == IDLE else _table)(figures, workload, series), ""]
    return "\n".join(parts)


def _overview(figures: Figures, series: str) -> list[list[str]]:
    """
    The ratios of one series to the reference: a head and a row for each proxy, or nothing when it was not run.
    """
    workloads = [workload for workload in figures.workloads() if series in figures.series(workload)]
    if not workloads:
        return []
    names = list(dict.fromkeys(name for workload in workloads for name in figures.peers(workload, series)))
    rows = [[name, *(_to(figures, workload, series, name, REFERENCE) for workload in workloads)] for name in names]
    return [[f"{series}, {REFERENCE} = 1", *workloads], *rows]


def _to(figures: Figures, workload: str, series: str, name: str, other: str) -> str:
    """
    One ratio, or a dash where one of the two was not measured.
    """
    if name not in figures.peers(workload, series):
        return "-"
    ratio = figures.figure(workload, series, name).ratios.get(other, math.nan)
    return "-" if math.isnan(ratio) else f"{ratio:.2f}"


def _aligned(row: Sequence[str]) -> str:
    """
    One row for the terminal: its first cell to the left, the others to the right.
    """
    return "".join(cell.rjust(13) if place else cell.ljust(22) for place, cell in enumerate(row))


def _piped(rows: Sequence[Sequence[str]]) -> list[str]:
    """
    Rows as a Markdown table, the first being its head.
    """
    if not rows:
        return []
    head, *others = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|---" + "|---:" * (len(rows[0]) - 1) + "|", *others, ""]


def _verdict(row: Mapping[str, Any]) -> str:
    """
    One line of what was to be reached.
    """
    word = "reached" if row["reached"] else "NOT reached"
    return f"{row['workload']}: {row['ratio']:.2f} of {row['peer']}'s CPU time, at most {row['most']}: {word}"


def _table(figures: Figures, workload: str, series: str) -> list[str]:
    """
    A Markdown table of CPU time.
    """
    lines = [
        "| proxy | CPU us/request | lowest-highest | to HAProxy | to Envoy | requests/s | core used | p99 us |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    messages = _MESSAGES[workload]
    if messages > 1:
        lines = [f"{lines[0]} CPU us/message |", f"{lines[1]}---:|"]
    for name in figures.peers(workload, series):
        figure = figures.figure(workload, series, name)
        lines.append(
            f"| {_marked(name, figure)} | {figure.value:.1f} | {figure.low:.1f}-{figure.high:.1f} "
            f"| {_to(figures, workload, series, name, 'haproxy')} | {_to(figures, workload, series, name, 'envoy')} "
            f"| {figure.rate:,.0f} | {figure.busy:.0%} | {figure.p99:,.0f} |"
            + (f" {figure.value / messages:.3f} |" if messages > 1 else "")
        )
    return lines


def _idle_table(figures: Figures, workload: str, series: str) -> list[str]:
    """
    A Markdown table of memory.
    """
    lines = ["| proxy | KiB per 1,000 | lowest-highest | to HAProxy |", "|---|---:|---:|---:|"]
    for name in figures.peers(workload, series):
        figure = figures.figure(workload, series, name)
        lines.append(
            f"| {_marked(name, figure)} | {figure.value:,.0f} | {figure.low:,.0f}-{figure.high:,.0f} "
            f"| {_to(figures, workload, series, name, 'haproxy')} |"
        )
    return lines


def _marked(name: str, figure: Figure) -> str:
    """
    The name, ours in bold, with the failures there were.
    """
    shown = f"**{name}**" if name == "siger" else name
    return f"{shown} ({figure.errors} failures)" if figure.errors else shown


def _machine(machine: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """
    The machine, the software and how it was run.
    """
    kind = "virtual machine" if machine["virtual"] else "machine"
    peers = machine["peers"]
    h2load = f", h2load {machine['h2load']}, our generator of gRPC calls" if "h2load" in machine else ""
    return [
        f"Run on {machine['date']} at commit {machine['commit']}, on a {kind} with {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory']} of memory, Linux {machine['kernel']} "
        f"(TCP congestion control {machine['congestion']}), {machine['python']}, uvloop "
        f"{machine['uvloop']}. The proxies ran on core {machine['proxy_core']}; wrk {machine['wrk']}{h2load} and the "
        f"backends ({machine['backend']}; for gRPC one of ours on uvloop) on core {machine['load_core']}.",
        "",
        f"{options['rounds']} rounds of {options['seconds']} s each, all proxies up, in an order shuffled for each "
        "round. CPU time is user and system time of all processes of a proxy, divided by the requests answered. "
        "Figures are medians over the rounds, and ratios are medians of the ratios within a round: absolute times "
        "drift on a shared machine, ratios hardly. README.md beside this page tells how each proxy is configured.",
        "",
        "| proxy | version | rate limit by address |",
        "|---|---|---|",
        *(f"| {name} | {version} | {machine['limits'][name]} |" for name, version in peers.items()),
    ]
