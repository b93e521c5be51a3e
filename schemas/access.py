"""Identity and access: users, logins, roles, permissions.

Facts reported by the login service are events in a CloudEvents envelope. What the fleet derives
from them is a row, and its schema a plain pydantic model.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.event import Event, upcaster

UserId = Annotated[str, Field(min_length=1, max_length=64)]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z-]*$", max_length=40)]


class Outcome(StrEnum):
    """How an attempt to log in ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"


class Method(StrEnum):
    """What a user logged in with."""

    PASSWORD = "password"  # noqa: S105 - the name of a method
    PASSKEY = "passkey"
    SSO = "sso"


class UserRegistered(Event, type="access.user.registered"):
    """An account was made."""

    user_id: UserId
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    invited_by: UserId | None = None


class LoginAttempted(Event, type="access.login.attempted", version=2):
    """Someone tried to log in as a user. ``latitude``, ``longitude``: where the address is, in degrees, if known.

    Version 1 had ``success`` (a bool) in place of ``outcome``, called the address ``address``
    and knew no method but the password.
    """

    user_id: UserId
    outcome: Outcome
    method: Method = Method.PASSWORD
    ip: Annotated[str, Field(max_length=45)] | None = None
    user_agent: Annotated[str, Field(max_length=400)] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None


@upcaster(LoginAttempted, from_version=1)
def _login_from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in data.items() if name not in {"success", "address"}}
    outcome = Outcome.SUCCEEDED if data["success"] else Outcome.FAILED
    return rest | {"outcome": outcome.value, "ip": data.get("address")}


class RoleChanged(Event, type="access.role.changed"):
    """A role was granted to a user, or taken back. ``expires_at`` None: until it is taken back."""

    user_id: UserId
    role: Role
    change: Literal["granted", "revoked"]
    changed_by: UserId
    expires_at: datetime | None = None


class PermissionChecked(Event, type="access.permission.checked"):
    """A service asked whether a user may do something."""

    user_id: UserId
    permission: Annotated[str, Field(pattern=r"^[a-z-]+:[a-z-]+$")]
    resource: str | None = None
    allowed: bool


class BruteForceSuspected(BaseModel):
    """Derived: a user's logins failed too often within one minute."""

    model_config = ConfigDict(frozen=True)

    user_id: UserId
    since: datetime
    until: datetime
    attempts: Annotated[int, Field(ge=5)]
    addresses: list[str]
    severity: Literal["medium", "high"]


class BruteForced(BaseModel):
    """Derived: logins of a user failed one after the other, and the next one succeeded."""

    model_config = ConfigDict(frozen=True)

    user_id: UserId
    since: datetime
    entered_at: datetime
    failures: Annotated[int, Field(ge=5)]
    ip: str | None


class TravelledImpossibly(BaseModel):
    """Derived: a user logged in at two places that nobody gets between in that time."""

    model_config = ConfigDict(frozen=True)

    user_id: UserId
    left_at: datetime
    arrived_at: datetime
    km: Annotated[float, Field(gt=0)]
    left_ip: str | None
    arrived_ip: str | None
