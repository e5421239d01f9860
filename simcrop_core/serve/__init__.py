"""The engine as a service: `wire` and `client` need numpy only, the rest is the server."""
