"""
Tests of Siger.

Importing this package installs Siger's reactor, so that a plain C{trial tests} runs everything on it.
"""

from siger.reactor import install

install()
