"""`expand[]`: which members of an answer are wanted as whole objects, or at all."""

from collections.abc import Collection, Iterable

from portal_site.api.answers import ApiError

DEEPEST = 4


def check(wanted: Iterable[str], allowed: Collection[str], *, of_list: bool) -> frozenset[str]:
    """The wanted paths, below `data` for lists. Raises ApiError for one that cannot be expanded."""
    found = set()
    for path in wanted:
        inner = path.removeprefix("data.") if of_list else path
        if of_list and path == "data":
            continue
        if of_list and path == "total_count" and path in allowed:
            found.add(path)
            continue
        if of_list and inner == path and path in allowed:
            raise ApiError(
                400, f"This property cannot be expanded ({path}). You may want to try expanding 'data.{path}' instead."
            )
        if inner not in allowed or (of_list and inner == path):
            raise ApiError(400, f"This property cannot be expanded ({path}).")
        if path.count(".") >= DEEPEST:
            raise ApiError(400, f"You cannot expand more than {DEEPEST} levels of a property ({path}).")
        found.add(inner)
    return frozenset(found)
