"""Users of the site, as the inventory's proof section describes them.

locust -f loadtests/ --host https://staging.example.com
"""

import locust  # first: it patches sockets before anything else makes some

from rondo.proof.load.lifecycle import OwnClock, SiteUser, install

__all__ = ["OwnClock", "SiteUser"]

install(locust.events)
