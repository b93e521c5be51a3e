r"""git-activity: who works on a repository, and when: real events of real people.

Feed it with the history of any repository, oldest first::

    git log --reverse --pretty=format:'{"commit":"%H","author":"%ae","time":"%cI"}' \
      | headrace run topologies.git_activity --input git.commits=- --output git.sessions=-

The fields are chosen so that what people write in commit messages cannot break the JSON.
"""

from __future__ import annotations

from headrace import Topology, agg, col, fn, session, tumbling
from schemas.git import Commit

topology = Topology("git-activity")

# git sorts by commit date as far as the graph allows; clocks that run wrong are late.
commits = topology.source("commits", topic="git.commits", schema=Commit, time=col.time, out_of_orderness="7d").select(
    "author", author=fn.lower(col.author), commit=col.commit, at=col.time
)

by_author = commits.group_by("by-author", col.author)

sessions = by_author.window(session("2h", retention="36500d")).aggregate(
    "author-sessions", commits=agg.count(), first=agg.first(col.commit), last=agg.last(col.commit)
)
sessions.on_close().sink("sessions", topic="git.sessions")

daily = by_author.window(tumbling("1d", retention="36500d")).aggregate("commits-per-day", commits=agg.count())
daily.on_close().sink("daily", topic="git.commits-per-day")
daily.late().sink("late", topic="git.late")

by_author.aggregate("authors", commits=agg.count(), since=agg.min(col.at), until=agg.max(col.at))
