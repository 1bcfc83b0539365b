"""Rondo: a web application on your own servers, changed without losing a request."""
