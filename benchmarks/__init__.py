"""
Siger beside other proxies, in one run, on one machine: what a request costs each of them.

Run it as C{python -m benchmarks} from the top of the checkout; see README.md beside this file.
"""
