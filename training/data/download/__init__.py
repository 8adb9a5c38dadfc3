"""Known data sets, fetched and unpacked."""
