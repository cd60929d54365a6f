"""What is fed to monty before a program or its tests: plain data as the tagged text of `inside.codec`, both ways.

monty hands its host a range, a function or an iterator as a text, and a subclass of dict as a dict, so nothing but texts made here cross.
A program may spoil these functions in its own interpreter: it changes what it says of itself, which it could say in plain words.
"""

from __future__ import annotations

from luthier.sandbox.inside.codec import DEPTH, ITEMS

_CODEC = f"""
import json as _luthier_json

def _luthier_node(value, depth, count):
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if kind is int:
        return value if -(1 << 63) < value < (1 << 63) else {{"int": hex(value)}}
    if depth >= {DEPTH}:
        raise TypeError("luthier: a value of more than {DEPTH} levels")
    if kind is list:
        return _luthier_each(value, depth, count)
    if kind is tuple or (isinstance(value, tuple) and kind is not list):
        return {{"tuple": _luthier_each(value, depth, count)}}
    if isinstance(value, dict):
        count[0] += len(value)
        return {{"dict": [[_luthier_node(key, depth + 1, count), _luthier_node(item, depth + 1, count)] for key, item in value.items()]}}
    if kind is set:
        return {{"set": _luthier_each(value, depth, count)}}
    if kind is frozenset:
        return {{"frozenset": _luthier_each(value, depth, count)}}
    if kind is bytes:
        return {{"bytes": value.hex()}}
    if kind is complex:
        return {{"complex": [value.real, value.imag]}}
    if kind is range:
        whole = [int(part) for part in str(value)[6:-1].split(", ")]
        return {{"range": whole if len(whole) == 3 else [whole[0], whole[1], 1]}}
    if kind.__name__.endswith("iterator") or str(kind).startswith("<class 'itertools."):
        return {{"iterator": _luthier_each(value, depth, count)}}
    raise TypeError("luthier: a value of type " + kind.__name__)

def _luthier_each(values, depth, count):
    found = []
    for value in values:
        count[0] += 1
        if count[0] > {ITEMS}:
            raise TypeError("luthier: a value of more than {ITEMS} items")
        found.append(_luthier_node(value, depth + 1, count))
    return found

def _luthier_write(value):
    return _luthier_json.dumps(_luthier_node(value, 0, [0]))

def _luthier_value(node):
    kind = type(node)
    if kind is list:
        return [_luthier_value(item) for item in node]
    if kind is not dict:
        return node
    for tag, inner in node.items():
        if tag == "dict":
            return {{_luthier_value(key): _luthier_value(item) for key, item in inner}}
        if tag == "int":
            return int(inner, 16)
        if tag == "bytes":
            return bytes.fromhex(inner)
        parts = [_luthier_value(item) for item in inner]
        if tag == "tuple":
            return tuple(parts)
        if tag == "set":
            return set(parts)
        if tag == "frozenset":
            return frozenset(parts)
        if tag == "iterator":
            return iter(parts)
        if tag == "complex":
            return complex(float(parts[0]), float(parts[1]))
        if tag == "range":
            return range(parts[0], parts[1], parts[2])
        raise TypeError("luthier: a value of type " + tag)

def _luthier_read(text):
    return _luthier_value(_luthier_json.loads(text))
"""

CANDIDATE = f"""{_CODEC}
def _luthier_call(function, told):
    arguments, keywords = _luthier_read(told)
    before = _luthier_write(arguments)
    value = _luthier_write(function(*arguments, **keywords))
    after = _luthier_write(arguments)
    return [value, "" if after == before else after]

def _luthier_look(value):
    kind = type(value).__name__
    if kind == "module":
        return ["module", ""]
    if kind in ("function", "builtin_function_or_method", "type", "method", "partial", "lru_cache_wrapper"):
        return ["callable", ""]
    return ["value", _luthier_write(value)]
"""

TESTS = f"""{_CODEC}
def _luthier_change(old, new):
    kind = type(old)
    if kind is not type(new):
        return
    if kind is list:
        same = len(old) == len(new)
        old[:] = [_luthier_merged(old[at], new[at]) for at in range(len(new))] if same else new
    elif kind is dict:
        merged = {{key: _luthier_merged(old[key], value) if key in old else value for key, value in new.items()}}
        old.clear()
        old.update(merged)
    elif kind is set:
        old.clear()
        old.update(new)

def _luthier_merged(was, now):
    if type(was) is type(now) and type(was) in (list, dict, set):
        _luthier_change(was, now)
        return was
    return now

def _luthier_stub(name):
    def stub(*arguments, **keywords):
        arguments = list(arguments)
        value, after = _luthier_ask(name, _luthier_write([arguments, keywords]))
        if after:
            changed = _luthier_read(after)
            for at in range(len(arguments)):
                _luthier_change(arguments[at], changed[at])
        return _luthier_read(value)
    return stub
"""
