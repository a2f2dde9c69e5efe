"""The checker of certificates about networks of real numbers. What has to be trusted is listed in :mod:`.check`."""
