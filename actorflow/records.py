"""`dataclass` as the standard library has it, for classes that every start of a program makes.

The standard decorator writes and compiles six functions for each frozen class. A stage's process
has more than a hundred such classes, and compiling them took two fifths of the time in which the
first process of a run gets ready. This decorator compiles one, the constructor, and makes the
others with what the `operator` module has in C. The constructor of a frozen class is faster, too:
it fills the slots directly, where the standard one calls `object.__setattr__` by name.

To type checkers it is the standard decorator. `fields`, `replace`, `asdict` and pattern matching
know its classes. They always have slots.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter, ge, gt, le, lt
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from dataclasses import Field, dataclass
else:
    import dataclasses

    def dataclass(
        *,
        slots: bool,
        frozen: bool = False,
        eq: bool = True,
        order: bool = False,
        init: bool = True,
        kw_only: bool = False,
    ) -> Callable[[type], type]:
        """As `dataclasses.dataclass`, whose arguments these are.

        Raises:
            TypeError: `slots` is false, or a class does not keep the standard rules.

        Example:
            >>> @dataclass(frozen=True, slots=True)
            ... class Point:
            ...     x: int
            ...     y: int = 0
            >>> Point(1), Point(1) == Point(1, 0), hash(Point(1)) == hash(Point(1))
            (Point(x=1, y=0), True, True)
        """
        if not slots:
            raise TypeError("a class of actorflow.records has slots")

        def make(cls: type) -> type:
            own = frozenset(cls.__dict__)
            if cls.__doc__ is None:
                cls.__doc__ = cls.__name__  # or the standard decorator makes one of the signature
            made = dataclasses.dataclass(
                init=False,
                repr=False,
                eq=False,
                slots=True,
                kw_only=kw_only,
                # It compiles two functions, and a class that derives from no frozen one does
                # without; one that does has to say so.
                frozen=frozen and any(map(_is_frozen, cls.__mro__)),
            )(cls)
            known = fields(made)
            methods = {"__repr__": _represent}
            if init:
                methods["__init__"] = _constructor(made, known, frozen)
            if eq:
                methods |= _comparisons(known, order, frozen)
            if frozen:
                methods |= _refusals(made) | _states(made, known)
                made.__dataclass_params__.frozen = True
            # Whoever defines equality alone has a __hash__ of None without having written it.
            if "__eq__" in own and made.__dict__.get("__hash__") is None:
                own -= {"__hash__"}
            for name, method in methods.items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return make


__all__ = ["dataclass"]


def _is_frozen(cls: type) -> bool:
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


class _Factory:
    """Stands in a signature for the value that a field's factory makes."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


def _constructor(cls: type, known: Sequence[Field[Any]], frozen: bool) -> Callable[..., None]:
    """The one function that is compiled: its signature, and its speed, are not to be had else."""
    scope: dict[str, Any] = {"_factory": _FACTORY}
    positional, keywords, body = ["self"], ["*"], []
    for each in known:
        name, made = each.name, f"_default_{each.name}"
        if each.default_factory is not MISSING:
            scope[made] = each.default_factory
            default, value = "=_factory", f"{made}() if {name} is _factory else {name}"
            made += "()"
        elif each.default is not MISSING:
            scope[made] = each.default
            default, value = f"={made}", name
        else:
            default, value, made = "", name, ""
        if each.init:
            (keywords if each.kw_only else positional).append(name + default)
        elif made:
            value = made
        else:
            continue
        if frozen:
            scope[f"_set_{name}"] = getattr(cls, name).__set__
            body.append(f" _set_{name}(self, {value})")
        else:
            body.append(f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    parameters = positional + (keywords if len(keywords) > 1 else [])
    source = f"def __init__({', '.join(parameters)}):\n" + ("\n".join(body) or " pass")
    exec(source, scope)  # noqa: S102 - the names of fields alone, as in the standard library
    constructor: Callable[..., None] = scope["__init__"]
    constructor.__qualname__ = f"{cls.__qualname__}.__init__"
    constructor.__module__ = cls.__module__
    constructor.__annotations__ = {each.name: each.type for each in known if each.init}
    constructor.__annotations__["return"] = None
    return constructor


@recursive_repr()
def _represent(self: Any) -> str:
    words = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
    return f"{type(self).__qualname__}({', '.join(words)})"


def _comparisons(known: Sequence[Field[Any]], order: bool, frozen: bool) -> dict[str, Any]:
    """Equality and order, by the values of the fields; a hash, of a class that is frozen."""
    key = _values([each.name for each in known if each.compare])

    def comparing(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def method(self: Any, other: object) -> Any:
            if other.__class__ is not self.__class__:
                return NotImplemented
            return compare(key(self), key(other))

        return method

    def equal(self: Any, other: object) -> Any:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    methods: dict[str, Any] = {"__eq__": equal, "__hash__": None}
    if order:
        methods |= {
            "__lt__": comparing(lt),
            "__le__": comparing(le),
            "__gt__": comparing(gt),
            "__ge__": comparing(ge),
        }
    if frozen:
        hashed = _values([e.name for e in known if (e.compare if e.hash is None else e.hash)])
        methods["__hash__"] = lambda self: hash(hashed(self))
    return methods


def _values(names: Sequence[str]) -> Callable[[Any], Any]:
    """What a comparison looks at: one attribute, a tuple of several, or nothing."""
    return attrgetter(*names) if names else lambda _: ()


def _refusals(cls: type) -> dict[str, Any]:
    """What keeps the fields of a frozen object, and every attribute of one that is not derived."""
    names = frozenset(cls.__dataclass_fields__)  # type: ignore[attr-defined]

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)  # type: ignore[arg-type]

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)  # type: ignore[arg-type]

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _states(cls: type, known: Sequence[Field[Any]]) -> dict[str, Any]:
    """How a frozen object is pickled: a list of its values, as in the standard library."""
    names = [each.name for each in known]
    setters = [getattr(cls, name).__set__ for name in names]

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: Sequence[Any]) -> None:  # noqa: N807
        for put, value in zip(setters, state, strict=True):
            put(self, value)

    return {"__getstate__": __getstate__, "__setstate__": __setstate__}
