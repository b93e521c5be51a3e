"""account-takeover: passwords that were guessed, and logins at places too far from each other."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

from headrace import Topology, agg, apply, begin, col, fn, matched, skip
from schemas.access import LoginAttempted

FAILURES = 5
FASTEST_KM_PER_HOUR = 900
# Where an address is, is known to within some tens of kilometres: less is no journey.
LEAST_KM = 100
EARTH_KM = 6371.0
MS_PER_HOUR = 3_600_000


def great_circle_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the distance of two places on the globe, given in degrees (haversine)."""
    here, there = radians(latitude), radians(other_latitude)
    north, east = sin((there - here) / 2), sin(radians(other_longitude - longitude) / 2)
    return round(2 * EARTH_KM * asin(sqrt(min(1.0, north * north + cos(here) * cos(there) * east * east))), 1)


topology = Topology("account-takeover")

logins = topology.source("logins", topic="access.logins", schema=LoginAttempted, out_of_orderness="30s").select(
    "login", col.user_id, col.outcome, col.ip, col.latitude, col.longitude, at=col.envelope.time
)
by_user = logins.group_by("by-user", col.user_id)

# Of the failures before a success the pattern finds all rows of five or more; past_last() leaves the longest one.
guessed = (
    begin("failed", col.outcome == "failed")
    .times(FAILURES, None)
    .consecutive()
    .next("entered", col.outcome == "succeeded")
    .within("5m")
    .after_match(skip.past_last())
)
brute_force = by_user.detect(
    "brute-force",
    guessed,
    emit={
        "since": matched.first("failed").at,
        "entered_at": matched.last("entered").at,
        "failures": matched.count("failed"),
        "ip": matched.last("entered").ip,
    },
)
brute_force.sink("guessed", topic="access.brute-force", key=col.user_id)
brute_force.late().sink("late", topic="access.late-logins", key=col.user_id)

placed = (
    by_user.stream()
    .filter("placed", (col.outcome == "succeeded") & col.latitude.is_not_null() & col.longitude.is_not_null())
    .group_by("placed-by-user", col.user_id)
)

_here = matched.last("here")
_km = apply(great_circle_km, _here.latitude, _here.longitude, col.latitude, col.longitude, returns=float)
_hours = (fn.epoch_ms(col.at) - fn.epoch_ms(_here.at)) / MS_PER_HOUR
# At this speed the other side of the globe is less than a day away: after that every place can be reached.
travelled = begin("here").next("there", (_km > LEAST_KM) & (_km > _hours * FASTEST_KM_PER_HOUR)).within("1d")
_there = matched.last("there")
impossible = placed.detect(
    "impossible-travel",
    travelled,
    emit={
        "left_at": _here.at,
        "arrived_at": _there.at,
        "km": apply(great_circle_km, _here.latitude, _here.longitude, _there.latitude, _there.longitude, returns=float),
        "left_ip": _here.ip,
        "arrived_ip": _there.ip,
    },
)
impossible.sink("travelled", topic="access.impossible-travel", key=col.user_id)

# For support: who should change the password?
brute_force.group_by("guessed-by-user", col.user_id).table("guessed-passwords")
impossible.group_by("travelled-by-user", col.user_id).aggregate(
    "impossible-journeys", journeys=agg.count(), last_at=agg.max(col.arrived_at), km=agg.arg_max(col.km, col.arrived_at)
)
