"""Searching a resource: `language` reads queries, `clauses` turns them into conditions and ways to find rows by an index,
`pages` looks at a bounded number of rows for each page.
"""
