"""HiGHS: linear and integer programs."""
