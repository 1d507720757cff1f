"""The paths of `expand[]`: whether each can be expanded, and all of them as a tree."""

from collections.abc import Iterable

from flask import g

from portal_site.api import authentication
from portal_site.api.answers import ApiError
from portal_site.api.expansion.members import OF_KIND, RIGHTS, Contents, Member, Reference
from portal_site.billing.api_access.api_keys import READ

DEEPEST = 4  # levels of a path, with `data` of lists
LONGEST = 500  # characters of a path that an error repeats
TOTAL = "total_count"
# The members to expand, each with those to expand in it.
Tree = dict[str, "Tree"]


def read(wanted: Iterable[str], kind: str, *, of_list: bool, counted: bool) -> Tree:
    """What to expand in objects of this kind, or in those of a list; `counted` lists may also be asked for their `total_count`.

    Raises ApiError for what cannot be expanded, and for objects that the key may not read.
    """
    whole: Member = {"data": OF_KIND[kind], **({TOTAL: {}} if counted else {})} if of_list else OF_KIND[kind]
    tree: Tree = {}
    for path in wanted:
        names = path.split(".")
        if of_list and names[0] != "data" and not (counted and names[0] == TOTAL):
            raise _refused(path, f" You may want to try expanding 'data.{path[:LONGEST]}' instead.")
        if len(names) > DEEPEST:
            raise ApiError(400, f"You cannot expand more than {DEEPEST} levels of a property ({path[:LONGEST]}).")
        member, place = whole, tree
        for name in names:
            inside = _inside(member)
            if name not in inside:
                raise _refused(path)
            member, place = inside[name], place.setdefault(name, {})
            _check_right(member)
    return tree


def _inside(member: Member) -> dict[str, Member]:
    if isinstance(member, Reference):
        return dict(OF_KIND[member.kind])
    if isinstance(member, Contents):
        return {"data": OF_KIND[member.kind]}
    return dict(member)


def _check_right(member: Member) -> None:
    if isinstance(member, Reference | Contents):
        authentication.check_right(g.caller, RIGHTS.get(member.kind, "customers"), READ)


def _refused(path: str, hint: str = "") -> ApiError:
    return ApiError(400, f"This property cannot be expanded ({path[:LONGEST]}).{hint}")
