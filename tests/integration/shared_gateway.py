"""
Gateways that many tests share.

Starting one takes most of a second, so tests with the same configuration use the same one. Only two are kept running
at a time; the one that was not used for longest makes room, and what is left stops with the test process.
"""

from __future__ import annotations

import atexit
import json
from collections import OrderedDict
from typing import Any

from attrs import frozen

from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import RecordingBackend

__all__ = ["Pair", "shared_pair"]

_MOST = 2


@frozen
class Pair:
    """
    A gateway and the one backend of its service C{echo}.
    """

    gateway: GatewayProcess
    backend: RecordingBackend

    def stop(self) -> None:
        """
        Stop both.
        """
        self.gateway.kill()
        run_in_loop(self.backend.stop())


_pairs: OrderedDict[str, Pair] = OrderedDict()


def shared_pair(**overrides: Any) -> Pair:
    """
    A running gateway with this configuration, from an earlier test or new; its backend has no scripts and no records.

    @param overrides: as for L{echo_config}.
    """
    key = json.dumps(overrides, sort_keys=True)
    pair = _pairs.pop(key, None)
    if pair is not None and not pair.gateway.alive:
        pair.stop()
        pair = None
    if pair is None:
        while len(_pairs) >= _MOST:
            _pairs.popitem(last=False)[1].stop()
        pair = start_pair(**overrides)
    _pairs[key] = pair
    run_in_loop(pair.backend.begin())
    return pair


def start_pair(**overrides: Any) -> Pair:
    """
    A pair of one's own, to be stopped by whoever asked for it.
    """
    backend = run_in_loop(RecordingBackend().start())
    try:
        return Pair(GatewayProcess(echo_config(backend.port, **overrides)).start(), backend)
    except Exception:
        run_in_loop(backend.stop())
        raise


@atexit.register
def _stop_all() -> None:
    while _pairs:
        _pairs.popitem()[1].stop()
