"""
Tests of siger.grpc.

Properties are checked without a time limit for each example: machines that run tests have other things to do as well.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("siger", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("siger")
