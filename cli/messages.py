"""Protobuf messages as JSON: the contract's field names, numbers as numbers, enums by name, every field present.

The JSON mapping of protobuf itself writes 64-bit numbers as strings, which no script compares correctly.
"""

from collections.abc import Mapping
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from cli.output import Json


def message_json(message: Message) -> dict[str, Json]:
    """Turn a message into JSON; a message field that is not set becomes null."""
    descriptor = cast(Descriptor, message.DESCRIPTOR)  # the compiled class has the same face and another type
    return {field.name: field_json(message, field) for field in descriptor.fields}


def field_json(message: Message, field: FieldDescriptor) -> Json:
    """Turn one field into JSON."""
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        assert isinstance(value, Mapping), f"{field.full_name} is a map"
        return {str(key): value_json(item, field.message_type.fields_by_name["value"]) for key, item in value.items()}
    if field.is_repeated:
        return [value_json(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return value_json(value, field)


def value_json(value: object, field: FieldDescriptor) -> Json:
    """Turn one value into JSON."""
    match value:
        case Message():
            return message_json(value)
        case bytes():
            return value.hex()
        case int() if field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            return known.name if known else value
        case str() | int() | float():
            return value
        case _:
            raise AssertionError(f"{field.full_name} holds {type(value).__name__}")
