"""
What Twisted finds of Siger: the C{twistd siger} command.

Twisted imports this module whenever it lists its plugins, for any command, so nothing here may import the reactor,
directly or not.  The service maker is written by hand for that reason: Twisted's own
L{twisted.application.service.ServiceMaker} imports the application when its attributes are merely looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from zope.interface import implementer

if TYPE_CHECKING:
    from siger.tap import Options

__all__ = ["service"]


@implementer(IPlugin, IServiceMaker)
class SigerServiceMaker:
    """
    Make the gateway for C{twistd} and C{twist}.
    """

    tapname = "siger"
    description = "An API gateway: one front door for HTTP services known to Consul or to a file."

    def options(self) -> Options:
        """
        Choose the reactor, then load the application's options.

        Both commands call this after their own C{--reactor} and before anything of the application is imported, and
        C{twist} takes the default reactor right after it: this is the one moment at which the choice is ours.

        @raise UsageError: when another reactor has been installed already.
        """
        from siger.reactor import WrongReactor, install

        try:
            install()
        except WrongReactor as wrong:
            raise UsageError(str(wrong)) from wrong
        from siger.tap import Options

        return Options()

    def makeService(self, options: Options) -> IService:
        """
        Build the gateway, without connecting anything.
        """
        from siger.tap import makeService

        return makeService(options)


service = SigerServiceMaker()
