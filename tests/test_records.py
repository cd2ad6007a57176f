"""The decorator of records does what the standard one does, for every form that actorflow uses."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from pathlib import Path
from typing import Any

import pytest

from actorflow import records

Decorator = Callable[..., Callable[[type], Any]]
FORMS = [
    {"slots": True},
    {"slots": True, "frozen": True},
    {"slots": True, "frozen": True, "kw_only": True},
    {"slots": True, "frozen": True, "order": True},
    {"slots": True, "order": True},
    {"slots": True, "eq": False},
    {"slots": True, "frozen": True, "eq": False},
]


def point(decorator: Decorator, **form: bool) -> Any:
    """A class with a field of every kind."""

    @decorator(**form)
    class Point:
        x: int
        y: list[int] = field(default_factory=list, hash=False)
        z: int = field(default=7, compare=False)
        made: int = field(init=False, repr=False)
        extra: tuple[int, ...] = field(default=(), kw_only=True)

        def __post_init__(self) -> None:
            object.__setattr__(self, "made", self.x + 1)

    return Point


def seen(make: Callable[[], object]) -> object:
    """What comes of it: a value, or the kind and the words of an error."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001
        return type(error).__name__, str(error)


def looks(cls: Any) -> dict[str, object]:
    """Everything that can be seen of a class and its objects."""
    one, same, other = cls(x=1, y=[2]), cls(x=1, y=[2], z=8), cls(x=2, extra=(3,))
    return {
        "signature": str(inspect.signature(cls)),
        "repr": (repr(one), repr(other)),
        "equal": (one == same, one == other, one != same, one == 1, one == copy.copy(one)),
        "hash": (seen(lambda: hash(one) == hash(same)), cls.__dict__.get("__hash__", 0) is None),
        "order": seen(lambda: (one < other, one <= same, other > one, other >= same)),
        "fields": [(each.name, each.kw_only) for each in dataclasses.fields(cls)],
        "replaced": repr(dataclasses.replace(one, z=5)),
        "as a dict": dataclasses.asdict(other),
        "match": cls.__match_args__,
        "missing": seen(cls)[1],  # type: ignore[index]
        "unknown": seen(lambda: cls(x=1, w=2))[1],  # type: ignore[index]
        "changed": seen(lambda: setattr(one, "x", 5)),
        "deleted": seen(lambda: delattr(one, "z")),
        "own lists": cls(x=1).y is not cls(x=1).y,
        "slots": (cls.__slots__, hasattr(one, "__dict__")),
    }


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_class_looks_as_of_the_standard_decorator(form: dict[str, bool]) -> None:
    """Construction, comparison, errors, and what the functions of `dataclasses` say."""
    assert looks(point(records.dataclass, **form)) == looks(point(dataclasses.dataclass, **form))


def derived(decorator: Decorator, base: Any, **form: bool) -> Any:
    """A class with one field more than its base."""

    @decorator(**form)
    class Named(base):  # type: ignore[misc]
        name: str = "no name"

    return Named


@pytest.mark.parametrize("frozen", [False, True])
def test_a_derived_class_has_the_fields_of_both(frozen: bool) -> None:
    """Also a class of a user, made with the standard decorator."""
    base = point(records.dataclass, slots=True, frozen=frozen)
    usual = derived(
        dataclasses.dataclass,
        point(dataclasses.dataclass, slots=True, frozen=frozen),
        slots=True,
        frozen=frozen,
    )
    for decorator in (records.dataclass, dataclasses.dataclass):
        one = derived(decorator, base, slots=True, frozen=frozen)
        for cls in (one, usual):
            assert repr(cls(1, name="a", extra=(2,))).endswith(
                "Named(x=1, y=[], z=7, extra=(2,), name='a')"
            )
            assert cls(1) == cls(1) != cls(1, name="b")
        assert seen(lambda cls=one: setattr(cls(1), "name", "")) == seen(  # type: ignore[misc]
            lambda: setattr(usual(1), "name", "")
        )


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_class_and_one_that_is_not_do_not_derive_from_each_other(frozen: bool) -> None:
    """As the standard decorator has it."""
    base = point(records.dataclass, slots=True, frozen=frozen)
    with pytest.raises(TypeError, match="cannot inherit"):
        derived(dataclasses.dataclass, base, frozen=not frozen)
    if frozen:
        with pytest.raises(TypeError, match="cannot inherit"):
            derived(records.dataclass, base, slots=True)


def test_what_a_class_defines_itself_is_kept() -> None:
    """Its own methods, and its own hash; equality alone leaves no hash unless it is frozen."""

    @records.dataclass(slots=True, frozen=True)
    class Own:
        x: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

    assert (repr(Own(1)), Own(1) == 3, hash(Own(1))) == ("own", True, 5)

    @records.dataclass(slots=True, frozen=True)
    class Equal:  # noqa: PLW1641 - that is what is asked
        x: int

        def __eq__(self, other: object) -> bool:
            return True

    assert hash(Equal(1)) == hash(Equal(1))


def test_a_class_without_fields_has_equal_objects() -> None:
    """With one hash."""

    @records.dataclass(slots=True, frozen=True)
    class Empty:
        pass

    assert Empty() == Empty()
    assert len({Empty(), Empty()}) == 1
    assert Empty.__doc__ == "Empty"


@records.dataclass(slots=True, frozen=True)
class Frozen:
    """Can be imported, so that pickle finds it."""

    x: int
    y: Any = None


@records.dataclass(slots=True)
class Changing:
    """Likewise."""

    x: int
    y: Any = None


@pytest.mark.parametrize("cls", [Frozen, Changing])
def test_objects_are_copied_and_pickled(cls: Any) -> None:
    """Also one that contains itself, which shows as dots."""
    one = cls(1, [Frozen(2)])
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == copy.copy(one) == one
    one.y.append(one)
    assert repr(one) == f"{cls.__name__}(x=1, y=[Frozen(x=2, y=None), ...])"
    again = pickle.loads(pickle.dumps(one))
    assert again.y[1] is again


def test_a_frozen_object_does_not_change() -> None:
    """Neither what is a field nor what is not, where the standard one of Python 3.11 stumbles."""
    for change in (
        lambda one: setattr(one, "x", 2),
        lambda one: setattr(one, "w", 2),
        lambda one: delattr(one, "y"),
        lambda one: delattr(one, "w"),
    ):
        with pytest.raises(FrozenInstanceError):
            change(Frozen(1))


def test_every_class_has_slots() -> None:
    """It is how its constructor fills them."""
    with pytest.raises(TypeError, match="slots"):
        records.dataclass(slots=False)


def test_no_process_of_a_run_has_a_class_of_the_standard_decorator() -> None:
    """Six functions to compile for each class were two fifths of a run's start."""
    code = (
        "import sys, actorflow.runtime.local.zygote, actorflow.runtime.local.entry\n"
        "for name, module in sys.modules.items():\n"
        "    if name.startswith('actorflow'): print(module.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    files = [Path(line) for line in done.stdout.splitlines()]
    # A compiled module has its source beside it.
    paths = [file.with_name(file.name.partition(".")[0] + ".py") for file in files]
    assert len(paths) > 50
    using = re.compile(r"from dataclasses import .*\bdataclass\b|@dataclasses\.dataclass")
    assert [path.name for path in paths if using.search(path.read_text())] == ["records.py"]


def test_a_field_without_a_default_behind_one_that_has_one_is_refused() -> None:
    """As the standard decorator has it; behind a keyword's it may stand."""

    def late(decorator: Decorator) -> Any:
        @decorator(slots=True)
        class Late:
            x: int = 1
            y: int

        return Late

    assert seen(lambda: late(records.dataclass)) == seen(lambda: late(dataclasses.dataclass))

    @records.dataclass(slots=True, kw_only=True)
    class Keywords:
        x: int = 1
        y: int

    assert repr(Keywords(y=2)).endswith("Keywords(x=1, y=2)")


def test_slots_of_a_base_are_not_made_again() -> None:
    """Whether a base names one of them or several; a class with slots of its own is refused."""

    class Base:
        __slots__ = "x"  # noqa: PLC0205 - that is what is asked

    @records.dataclass(slots=True)
    class Derived(Base):
        x: int
        y: int

    assert Derived.__slots__ == ("y",)
    assert (Derived(1, 2).x, Derived(1, 2).y) == (1, 2)

    class Slotted:
        __slots__ = ("x",)
        x: int

    refused = seen(lambda: records.dataclass(slots=True)(Slotted))
    assert refused == seen(lambda: dataclasses.dataclass(slots=True)(Slotted))
