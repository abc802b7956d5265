"""
Certificates that change while the gateway runs: renewed by somebody, and swapped in for connections that begin then.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from siger.config.certificates import CertificateError
from siger.tls.store import Certificate, CertificateStore, Fingerprint, fingerprint

__all__ = ["INTERVAL", "Watch"]

INTERVAL: Final = 1.0
"""Seconds between looks."""


class Watch:
    """
    Looks at the files of a store's certificates.

    Whoever renews a certificate writes two files, one after the other; so a change is taken up once nothing has changed
    from one look to the next. What is not right then is said once, and the certificate that there was is kept.
    """

    log = Logger(namespace="siger")

    def __init__(self, store: CertificateStore, clock: Any) -> None:
        """
        @param clock: C{IReactorTime}.
        """
        self._store = store
        self._judged = [certificate.seen for certificate in store.certificates]
        self._seen = list(self._judged)
        self._call = LoopingCall(self._look)
        self._call.clock = clock

    def start(self) -> None:
        """
        Begin to look.
        """
        self._call.start(INTERVAL, now=False)

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._call.running:
            self._call.stop()

    def _look(self) -> None:
        for place, certificate in enumerate(self._store.certificates):
            now = fingerprint(certificate.files)
            settled, self._seen[place] = now == self._seen[place], now
            if settled and now != self._judged[place]:
                self._judged[place] = now
                self._renew(certificate, now)

    def _renew(self, old: Certificate, seen: Fingerprint) -> None:
        try:
            new = self._store.load(old.files)
        except CertificateError as error:
            path = getattr(old.files, error.file)
            self.log.error("{path} {error}; the certificate that there was is kept", path=path, error=error)
            return
        if new.facts.digest != old.facts.digest and fingerprint(old.files) == seen:
            self._store.replace(old, new)
            path, facts = old.files.certificate, new.facts
            self.log.info("using {path}, good until {end}", path=path, end=f"{facts.not_after:%Y-%m-%d %H:%M}Z")
