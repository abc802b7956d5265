"""
TLS, towards clients and towards instances, by the standard library's C{ssl} over any stream transport of Twisted's.
"""
