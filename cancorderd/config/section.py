"""What every section shares: how strictly it is read, and the kinds of values. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from cancorderd.config import checks
from cancorderd.frame import MAX_EXTENDED_ID

if TYPE_CHECKING:
    from pydantic.config import JsonDict
    from pydantic.fields import FieldInfo

# How a remedy names a value (`sentences`), and its unit.
RATE: JsonDict = {"noun": "a rate", "unit": "bit/s"}
TIME: JsonDict = {"noun": "a time", "unit": "s"}
MILLISECONDS: JsonDict = {"noun": "a time", "unit": "ms"}
SIZE: JsonDict = {"noun": "a size", "unit": "bytes"}
MEGABYTES: JsonDict = {"noun": "a size", "unit": "MB"}
PORT: JsonDict = {"noun": "a port", "or": "leave the key out for an automatic one"}
ARBITRATION_ID: JsonDict = {"noun": "an arbitration id", "hex": True}

ArbitrationId = Annotated[int, Field(ge=0, le=MAX_EXTENDED_ID, json_schema_extra=ARBITRATION_ID)]
Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], BeforeValidator(checks.unchanging)]
Address = Annotated[str, AfterValidator(checks.address)]
Addresses = Annotated[Listed[Address], AfterValidator(checks.addresses)]
Network = Annotated[str, AfterValidator(checks.network)]
ServiceName = Annotated[str, AfterValidator(checks.service_name)]
AbsolutePath = Annotated[str, AfterValidator(checks.absolute)]
SocketPath = Annotated[str, AfterValidator(checks.socket_path)]


NO_KEYS = frozenset({"name", "prefer_fd", "taken", "kinds"})
"""Fields that a table does not hold: they follow from its header, the other tables and the other sections, or
belong to the commands that are one bus."""


class Section(BaseModel):
    """A table of the file: no unknown keys, no conversions ("500000" is no number), never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def key_fields(cls) -> dict[str, FieldInfo]:
        """The keys that the table may hold."""
        return {key: field for key, field in cls.model_fields.items() if key not in NO_KEYS}
