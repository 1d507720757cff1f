"""`expand[]`: which members of an answer are wanted as whole objects, or at all, and loading them.

`members` says what can be expanded, `paths` reads what a request asks for, `objects` makes the objects of rows with it.
"""
