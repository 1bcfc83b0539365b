"""Tests of the shop; what they make it log is not shown, those that care look for themselves."""

import logging

logging.getLogger().handlers = [logging.NullHandler()]
