"""Exact engines that share nothing with the dual search: adapters to other solvers, behind one interface."""
