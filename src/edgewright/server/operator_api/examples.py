"""Examples for the description of the API, made from the types themselves, so that none is forgotten.

A member gets the value that `SAMPLES` has for its name, where that is of its type, else one that its type
suggests. What reads better written out is in `EXAMPLES`, by the name of its type.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

_MOMENT: Final = "2026-11-26T10:42:00Z"
_ID: Final = "6f1c2a4e-3b7d-4c1e-9a52-0d8e7f6a5b4c"
_DIGEST: Final = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

SAMPLES: Final[Mapping[str, Any]] = {
    "adopted_manifest_version": 12,
    "after": None,
    "application": "shop",
    "applications": {"shop": {"1.4.0": 12}},
    "approval": None,
    "assignment": None,
    "by": "user anna",
    "ca": None,
    "client_id": "line-4",
    "code": "",
    "components": [],
    "contacts": {"in-contact": 12},
    "deployment_id": _ID,
    "deleted": None,
    "description": {"apiVersion": "v1", "id": "shop"},
    "device": "line-4",
    "device_id": "line-4",
    "device_ids": ["line-4"],
    "devices": ["line-4"],
    "digest": _DIGEST,
    "error": None,
    "email": "anna@example.org",
    "fingerprint": "3f9a 01bc 77de 40a1",
    "hold": None,
    "id": _ID,
    "labels": {"site": "berlin", "line": "4"},
    "manifest_version": 12,
    "message": "",
    "name": "line-4",
    "next": None,
    "own_labels": {"site": "berlin"},
    "parameters": {"greeting": "Good morning", "port": 8080},
    "profile": "shop-compose",
    "profile_type": "compose",
    "paused": None,
    "policy_problem": None,
    "q": "line",
    "reason": "",
    "reference": "oci://registry.example/shop:1.4.0",
    "repository": "oci://registry.example/shop/web",
    "revision": "1.4.0",
    "retired": None,
    "said": None,
    "selector": "site=berlin",
    "site": None,
    "source": "oci://registry.example/shop:1.4.0",
    "state": "converged",
    "state_until": None,
    "states": {"converged": 12},
    "status": "",
    "suggested_policy": None,
    "text": "polling: {rate: 60s}\n",
    "token": "ewt1.eyJ1cmwi...",
    "total": 1,
    "until": None,
    "url": "https://registry.example",
    "username": "anna",
    "valid_minutes": 1440,
    "version": "1.4.0",
    "via": "browser",
    "who": "anna",
    "why": None,
    "withdrawn": None,
}

EXAMPLES: Final[Mapping[str, Any]] = {
    "NewEnrollment": {"name": "line-4", "valid_minutes": 1440},
    "RequestApproval": {"name": "line-4", "replace": False},
    "RequestRejection": {"reason": "not one of ours"},
    "NewDeployment": {
        "application": "shop",
        "version": "1.4.0",
        "device": "line-4",
        "parameters": {"greeting": "Good morning"},
    },
    "ChangedDeployment": {"version": "1.5.0", "parameters": {"greeting": None}},
    "ChangedDevice": {"labels": {"site": "berlin", "spare": None}},
    "ChangedLabels": {"labels": {"line": "4"}, "selector": "site=berlin"},
    "AssignmentBody": {
        "application": "shop",
        "version": "1.5.0",
        "target": {"selector": "site=berlin"},
        "parameters": {"greeting": "Good morning"},
        "groups": [{"selector": "line=4", "parameters": {"port": 8081}}],
        "strategy": {"batches": ["2", "100%"]},
        "reason": "the new opening hours",
    },
    "PackageImport": {"reference": "oci://registry.example/shop:1.4.0"},
}

# How deep an example goes; deeper structures are left empty where that is allowed.
_DEEPEST = 8


def example_of(kind: Any) -> Any:
    """Return plain JSON that is a `kind`."""
    return _of_type(inspect.type_info(kind), "", 0)


def _of_type(info: inspect.Type, name: str, depth: int) -> Any:
    match info:
        case inspect.Metadata():
            examples = (info.extra_json_schema or {}).get("examples")
            return examples[0] if examples else _of_type(info.type, name, depth)
        case inspect.StructType():
            return EXAMPLES.get(info.cls.__name__) or _of_struct(info, depth)
        case inspect.UnionType():
            return _of_union(info, name, depth)
    sample = SAMPLES.get(name)
    if sample is not None and _suits(sample, info):
        return sample
    return _plain(info, name, depth)


def _plain(info: inspect.Type, name: str, depth: int) -> Any:
    match info:
        case inspect.EnumType():
            return next(iter(info.cls)).value
        case inspect.LiteralType():
            return info.values[0]
        case inspect.DateTimeType():
            return _MOMENT
        case inspect.StrType():
            return "x" * (info.min_length or 0) or name
        case inspect.IntType() | inspect.FloatType():
            return int(info.ge or (info.gt or 0) + 1)
        case inspect.BoolType():
            return False
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            return [] if depth >= _DEEPEST else [_of_type(info.item_type, name, depth + 1)]
        case inspect.DictType():
            if depth >= _DEEPEST:
                return {}
            key = (
                _of_type(info.key_type, "", depth + 1)
                if isinstance(info.key_type, inspect.EnumType)
                else name
            )
            return {key: _of_type(info.value_type, "", depth + 1)}
    return None


def _of_struct(info: inspect.StructType, depth: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field in info.fields:
        if field.required or depth < 1:
            value = _of_type(field.type, field.name, depth + 1)
            if field.required or value is not None:
                shown[field.encode_name] = value
    return shown


def _of_union(info: inspect.UnionType, name: str, depth: int) -> Any:
    """Return the sample if one of the types takes it, null where that is the sample, else the first type."""
    kinds = [one for one in info.types if not isinstance(one, inspect.NoneType)]
    is_nullable = len(kinds) < len(info.types)
    if name in SAMPLES and SAMPLES[name] is None and is_nullable:
        return None
    sample = SAMPLES.get(name)
    if sample is not None and any(_suits(sample, one) for one in kinds):
        return sample
    return None if depth >= _DEEPEST and is_nullable else _of_type(kinds[0], name, depth)


def _suits(sample: Any, info: inspect.Type) -> bool:
    match info:
        case inspect.StrType():
            return isinstance(sample, str)
        case inspect.IntType():
            return isinstance(sample, int) and not isinstance(sample, bool)
        case inspect.EnumType():
            return sample in {member.value for member in info.cls} if isinstance(sample, str) else False
        case inspect.ListType() | inspect.VarTupleType():
            return isinstance(sample, list) and all(_suits(one, info.item_type) for one in sample)
        case inspect.DictType():
            return isinstance(sample, dict) and all(_suits(one, info.value_type) for one in sample.values())
        case inspect.UnionType():
            return any(_suits(sample, one) for one in info.types)
        case inspect.AnyType():
            return True
    return False


def check(kind: Any) -> None:
    """Raise `msgspec.ValidationError` if the example of `kind` is none."""
    msgspec.convert(example_of(kind), kind)
