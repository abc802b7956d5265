"""
Tests of L{siger.jobs}.

Property tests here are pure and short, but machines that run tests are shared: how long one example takes says nothing.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("siger", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("siger")
