"""The command line as the VNN-LIB 2.0 standard wants it: ``verify QUERY --network NAME=FILE`` and ``supports``."""
