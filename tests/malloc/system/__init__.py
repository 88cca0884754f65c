"""Programs of the system on the malloc library: `make programs`, not part of `make test`."""
