"""Nested dicts and lists, such as headers and checkpoints: where their values are."""


def places(tree, at=()):
    """The path of every value."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*at, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*at, key))


def parent_of(tree, place):
    """The dict or list that holds the value at a place."""
    for key in place[:-1]:
        tree = tree[key]
    return tree
