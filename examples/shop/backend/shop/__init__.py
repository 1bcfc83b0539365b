"""Freewheel, a small shop for bicycle parts: the part that speaks HTTP and SQL."""
