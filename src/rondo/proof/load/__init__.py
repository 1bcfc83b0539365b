"""The load generators: Locust's users, their pace, their connections and what they record.

    lifecycle       what Locust's events lead to: the clock, the end, the exit code
      starting      how a run comes about; attendant: its witnesses, in a process of their own
      share         the brief to every generator, their rows back; follower: a worker's end of it
        crew        the users of one generator, and how it did
          users     one user, and the probe
            pace, scenario, pages, wording    pure: when, what, and what to make of the answer
            line    one kept connection, which never sends anything twice
          recorder  a row for each request
      ledger        the rows as files; live, tab: shares of the backends as they come

The only modules that import Locust and gevent; they run in processes that Locust started.
"""
