"""What a parameter may be: each rule reads a value, converts it or says what is allowed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from rpnviz.errors import ParamsError


class Rule(Protocol):
    """Reads one value of a parameter document or of a constructor call."""

    @property
    def allowed(self) -> str:
        """The allowed values, as a phrase: ``a number from 0 to 1``."""
        ...

    def read(self, value: object, where: str) -> Any:
        """Return the value in its stored form.

        Raises:
            ParamsError: the value is not allowed; names the field, the value and what is allowed.
        """
        ...


def _refuse(value: object, where: str, allowed: str) -> ParamsError:
    return ParamsError(f"{value!r} is not allowed, expected {allowed}.", where=where)


@dataclass(frozen=True)
class Number:
    """A real number, or a whole one, between two inclusive bounds; NaN is refused."""

    low: float
    high: float = math.inf
    whole: bool = False

    @property
    def allowed(self) -> str:
        noun = "a whole number" if self.whole else "a number"
        if math.isinf(self.high):
            return f"{noun} of at least {self.low:g}"
        return f"{noun} from {self.low:g} to {self.high:g}"

    def read(self, value: object, where: str) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _refuse(value, where, self.allowed)
        if not (self.low <= value <= self.high) or math.isinf(value):
            raise _refuse(value, where, self.allowed)
        if self.whole:
            if value != int(value):
                raise _refuse(value, where, self.allowed)
            return int(value)
        return float(value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def read(self, value: object, where: str) -> bool:
        if not isinstance(value, bool):
            raise _refuse(value, where, self.allowed)
        return value


@dataclass(frozen=True)
class Choice:
    """One of the names of an enumeration."""

    enum: type[StrEnum]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(repr(str(member)) for member in self.enum)

    def read(self, value: object, where: str) -> StrEnum:
        if isinstance(value, str):
            for member in self.enum:
                if member.value == value:
                    return member
        raise _refuse(value, where, self.allowed)


@dataclass(frozen=True)
class ListOf:
    """A list whose items follow one rule; stored as a tuple."""

    item: Rule
    length: int | None = None

    @property
    def allowed(self) -> str:
        count = "at least one item" if self.length is None else f"{self.length} items"
        return f"a list of {count}, each {self.item.allowed}"

    def read(self, value: object, where: str) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise _refuse(value, where, self.allowed)
        if (self.length is None and not value) or (self.length is not None and len(value) != self.length):
            raise _refuse(value, where, self.allowed)
        return tuple(self.item.read(item, f"{where}[{index}]") for index, item in enumerate(value))


@dataclass(frozen=True)
class OffOr:
    """A value that follows a rule, or -1 for off."""

    rule: Rule

    @property
    def allowed(self) -> str:
        return f"{self.rule.allowed}, or -1 for off"

    def read(self, value: object, where: str) -> Any:
        if value == -1 and not isinstance(value, bool):
            return -1
        try:
            return self.rule.read(value, where)
        except ParamsError as error:
            if error.where == where:
                raise _refuse(value, where, self.allowed) from None
            raise


@dataclass(frozen=True)
class Group:
    """A nested group of fields, given as the group itself or as a mapping."""

    kind: type[Any]

    @property
    def allowed(self) -> str:
        return "an object with the fields " + ", ".join(field.name for field in dataclasses.fields(self.kind))

    def read(self, value: object, where: str) -> Any:
        if isinstance(value, self.kind):
            return value
        if not isinstance(value, Mapping):
            raise _refuse(value, where, self.allowed)
        rules = {field.name: field.metadata["rule"] for field in dataclasses.fields(self.kind)}
        check_names(value, list(rules), where)
        prefix = f"{where}." if where else ""
        for name in rules:
            if name not in value:
                raise ParamsError("is missing.", where=prefix + name)
        return self.kind(**{name: rule.read(value[name], prefix + name) for name, rule in rules.items()})


def check_names(given: Mapping[str, object], known: list[str], where: str) -> None:
    """Refuse names that are not among ``known``.

    Raises:
        ParamsError: names the first unknown field and what is allowed there.
    """
    for name in given:
        if name not in known:
            prefix = f"{where}." if where else ""
            raise ParamsError(f"is not a known field; known are {', '.join(known)}.", where=f"{prefix}{name}")


def ruled(rule: Rule, doc: str, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field of a parameter group: its rule and its one-line meaning with the unit.

    A default is for what no framework decides, such as an option that is off unless somebody asks for it.
    """
    return dataclasses.field(default=default, metadata={"rule": rule, "doc": doc})


class Ruled:
    """Base of frozen dataclasses whose fields are declared with :func:`ruled`; checks and converts on construction."""

    document_key: ClassVar[str] = ""
    """Name of the group in a document, to say where a wrong value stands."""

    def __post_init__(self) -> None:
        prefix = f"{self.document_key}." if self.document_key else ""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = field.metadata["rule"].read(getattr(self, field.name), prefix + field.name)
            object.__setattr__(self, field.name, value)


def doc_of(kind: type[Any], name: str) -> str:
    """The one-line meaning of a field, for help texts."""
    return next(f.metadata["doc"] for f in dataclasses.fields(kind) if f.name == name)


def plain(value: object) -> Any:
    """The JSON form of a ruled value: groups become objects, tuples lists, choices their names."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    return value
