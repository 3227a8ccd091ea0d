"""Benchmarks: cases, peers, the runner, profiles and the report.

``numopt bench --list`` names the cases. The public names are the two profiles, which take the records that the
runner writes (or any list of mappings of the same form).
"""

from numopt.bench._profiles import DataProfile, PerformanceProfile, data_profile, performance_profile

__all__ = ["DataProfile", "PerformanceProfile", "data_profile", "performance_profile"]
