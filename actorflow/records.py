"""`dataclass` as the standard library has it, for classes that every start of a program makes.

The standard decorator writes and compiles six functions for each frozen class. A stage's process
has more than a hundred such classes, and compiling them took two fifths of the time in which the
first process of a run gets ready. This decorator compiles one, the constructor, and that once for
all classes of one shape; the others it makes with what the `operator` module has in C. The
constructor of a frozen class is faster, too: it fills the slots directly, where the standard one
calls `object.__setattr__` by name.

To type checkers it is the standard decorator. `fields`, `replace`, `asdict` and pattern matching
know its classes. They always have slots.
"""

from __future__ import annotations

import copyreg
from dataclasses import MISSING, FrozenInstanceError, fields
from functools import cache
from operator import attrgetter, ge, gt, le, lt
from reprlib import recursive_repr
from types import CodeType, FunctionType
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
            dataclasses.dataclass(
                init=False,
                repr=False,
                eq=False,
                kw_only=kw_only,
                # It compiles two functions, and a class that derives from no frozen one does
                # without; one that does has to say so.
                frozen=frozen and any(map(_is_frozen, cls.__mro__)),
            )(cls)
            known = fields(cls)
            late: dict[str, Any] = {}
            methods = {"__repr__": _represent}
            if init:
                methods["__init__"] = _constructor(cls, known, frozen, late)
            if eq:
                methods |= _comparisons(known, order, frozen)
            if frozen:
                methods |= _refusals(frozenset(each.name for each in known), late)
                methods |= _states([each.name for each in known], late)
            # Whoever defines equality alone has a __hash__ of None without having written it.
            if "__eq__" in own and cls.__dict__.get("__hash__") is None:
                own -= {"__hash__"}
            members = {name: method for name, method in methods.items() if name not in own}
            compiled = "__mypyc_attrs__" in own
            made = (_completed if compiled else _with_slots)(cls, members, [e.name for e in known])
            made.__dataclass_params__.frozen = frozen  # type: ignore[attr-defined]
            late["_class"] = made
            setter = _setter_by_name if compiled else _setter_of_slot
            late |= {f"_set{place}": setter(made, e.name) for place, e in enumerate(known)}
            if compiled and frozen:
                copyreg.pickle(made, _reduced)
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


def _with_slots(cls: type, members: dict[str, Any], names: Sequence[str]) -> type:
    """The class once more, with slots for its fields, and with these members."""
    if "__slots__" in cls.__dict__:
        raise TypeError(f"{cls.__name__} already specifies __slots__")
    body = {**cls.__dict__, **members}
    for name in (*names, "__dict__", "__weakref__"):
        body.pop(name, None)  # a field's default has its place in the constructor
    above = {slot for base in cls.__mro__[1:-1] for slot in _slots_of(base)}
    body["__slots__"] = tuple(name for name in names if name not in above)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def _completed(cls: type, members: dict[str, Any], names: Sequence[str]) -> type:
    """A class that mypyc has compiled, with these members; it has places for its fields already."""
    for name, member in members.items():
        setattr(cls, name, member)
    return cls


def _setter_of_slot(cls: type, name: str) -> Callable[[Any, Any], None]:
    setter: Callable[[Any, Any], None] = getattr(cls, name).__set__
    return setter


def _setter_by_name(cls: type, name: str) -> Callable[[Any, Any], None]:
    """As mypyc lets a class be decorated, its fields cannot be reached before that is over."""
    return lambda record, value: object.__setattr__(record, name, value)


def _reduced(record: Any) -> tuple[Any, ...]:
    """How a frozen object is pickled whose class is compiled: mypyc's own way would assign."""
    return _remade, (type(record), [getattr(record, each.name) for each in fields(record)])


def _remade(cls: Any, values: Sequence[Any]) -> Any:
    record = cls.__new__(cls)
    for each, value in zip(fields(cls), values, strict=True):
        object.__setattr__(record, each.name, value)
    return record


def _slots_of(cls: type) -> Sequence[str]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _constructor(
    cls: type, known: Sequence[Field[Any]], frozen: bool, late: dict[str, Any]
) -> FunctionType:
    """The one function that is compiled: its signature, and its speed, are not to be had else.

    Args:
        cls: whose it is.
        known: its fields.
        frozen: whether it fills the slots directly.
        late: the function's globals, to which the slots are added when the class is made.
    """
    late["_factory"] = _FACTORY
    names = {"self": "self"}
    positional, keywords, body = ["self"], ["*"], []
    defaults: dict[bool, dict[str, Any]] = {False: {}, True: {}}  # of keywords alone: True
    for place, each in enumerate(known):
        # Not the field's own name, but its place: so classes of one shape share one code.
        argument, made = f"_{place}", f"_default{place}"
        names[argument] = each.name
        late[made] = given = each.default
        value = argument
        if each.default_factory is not MISSING:
            late[made], given, made = each.default_factory, _FACTORY, f"{made}()"
            value = f"{made} if {argument} is _factory else {argument}"
        if each.init:
            (keywords if each.kw_only else positional).append(argument)
            if given is not MISSING:
                defaults[bool(each.kw_only)][each.name] = given
            elif defaults[False] and not each.kw_only:
                raise TypeError(f"non-default argument {each.name!r} follows default argument")
        elif given is not MISSING:
            value = made
        else:
            continue
        body.append(f" _set{place}(self, {value})" if frozen else f" self.{argument} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    parameters = positional + (keywords if len(keywords) > 1 else [])
    code = _compiled(f"def __init__({', '.join(parameters)}):\n" + ("\n".join(body) or " pass"))
    code = code.replace(
        co_varnames=tuple(names[name] for name in code.co_varnames),
        co_names=tuple(names.get(name, name) for name in code.co_names),
    )
    constructor = FunctionType(code, late, "__init__", tuple(defaults[False].values()))
    constructor.__kwdefaults__ = defaults[True]
    constructor.__qualname__ = f"{cls.__qualname__}.__init__"
    constructor.__module__ = cls.__module__
    constructor.__annotations__ = {each.name: each.type for each in known if each.init}
    constructor.__annotations__["return"] = None
    return constructor


@cache
def _compiled(source: str) -> CodeType:
    """The code of the one function that this defines."""
    constants = compile(source, "<records>", "exec").co_consts
    (code,) = [each for each in constants if isinstance(each, CodeType)]
    return code


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


def _refusals(names: frozenset[str], late: dict[str, Any]) -> dict[str, Any]:
    """What keeps the fields of a frozen object, and every attribute of one that is not derived."""

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is late["_class"] or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(late["_class"], self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is late["_class"] or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(late["_class"], self).__delattr__(name)

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _states(names: Sequence[str], late: dict[str, Any]) -> dict[str, Any]:
    """How a frozen object is pickled: a list of its values, as in the standard library."""

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: Sequence[Any]) -> None:  # noqa: N807
        for place, (_, value) in enumerate(zip(names, state, strict=True)):
            late[f"_set{place}"](self, value)

    return {"__getstate__": __getstate__, "__setstate__": __setstate__}
