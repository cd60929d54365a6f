"""Every importer on a tiny specification (golden), on broken ones, and the cloud importers on the real wheels where they are at hand."""

import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from luthier.errors import MissingFileError, ToolSpecError
from luthier.synthesize.tools.importers import import_botocore, import_google, import_mcp, import_openapi, import_python
from luthier.synthesize.tools.importers.google import newest
from luthier.synthesize.tools.importers.wording import first_sentence, plain_text, snake_case
from luthier.synthesize.tools.lint import lint

SERVICE = {
    "operations": {
        "PutKey": {"documentation": "<p>Stores a key. More text.</p>", "input": {"shape": "PutKeyRequest"}, "output": {"shape": "Key"}},
        "OldKey": {"documentation": "<p>Stores a key.</p>", "deprecated": True},
        "StreamKeys": {"documentation": "<p>Streams keys.</p>", "input": {"shape": "StreamRequest"}},
    },
    "shapes": {
        "PutKeyRequest": {
            "type": "structure",
            "required": ["KeyName", "Token"],
            "members": {
                "KeyName": {"shape": "Name", "documentation": "<p>The <code>name</code> of the key.</p>"},
                "Token": {"shape": "Text", "idempotencyToken": True, "documentation": "<p>A token.</p>"},
                "DBInstanceIds": {"shape": "Names", "documentation": "<note><p>Careful.</p></note><p>The instances &amp; more.</p>"},
                "Tree": {"shape": "Node", "documentation": "<p>A tree of values.</p>"},
                "When": {"shape": "Time", "documentation": "<p>When it ends.</p>"},
                "Choice": {"shape": "Choice", "documentation": "<p>One of two.</p>"},
                "Nothing": {"shape": "Text"},
            },
        },
        "StreamRequest": {"type": "structure", "members": {"Input": {"shape": "Events"}}},
        "Events": {"type": "structure", "eventstream": True, "members": {}},
        "Key": {"type": "structure", "members": {"KeyId": {"shape": "Text", "documentation": "<p>Its id.</p>"}}},
        "Name": {"type": "string", "pattern": "^[a-z]+$", "min": 1, "max": 8},
        "Names": {"type": "list", "member": {"shape": "Name"}, "max": 5},
        "Text": {"type": "string"},
        "Time": {"type": "timestamp"},
        "Choice": {"type": "string", "enum": ["a", "b"]},
        "Node": {"type": "structure", "members": {"Next": {"shape": "Node", "documentation": "<p>The next node.</p>"}}},
    },
}
DISCOVERY = {
    "schemas": {
        "Event": {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "description": "A kind."},
                "etag": {"type": "string", "description": "A tag."},
                "summaryText": {"type": "string", "description": "Required. Title of the event. It is shown."},
                "created": {"type": "string", "readOnly": True, "description": "Creation time."},
                "guests": {"type": "array", "items": {"$ref": "Guest"}, "description": "Who comes."},
            },
        },
        "Guest": {"type": "object", "properties": {"email": {"type": "string", "description": "Address of the guest."}}},
    },
    "resources": {
        "events": {
            "methods": {
                "insert": {
                    "id": "diary.events.insert",
                    "description": "Creates an event. See [docs](http://x.org).",
                    "parameterOrder": ["diaryId"],
                    "parameters": {
                        "maxGuests": {
                            "type": "integer",
                            "minimum": "1",
                            "default": "250",
                            "location": "query",
                            "description": "Most guests.",
                        },
                        "diaryId": {"type": "string", "required": True, "location": "path", "description": "Diary identifier."},
                        "tags": {"type": "string", "repeated": True, "location": "query", "description": "Tags to set."},
                    },
                    "request": {"$ref": "Event"},
                    "response": {"$ref": "Event"},
                },
                "old": {"id": "diary.events.old", "deprecated": True, "description": "Gone."},
            }
        }
    },
}
PETS = """
openapi: 3.0.3
info: {title: Pets, version: "1.0", license: {name: MIT}}
paths:
  /pets/{petId}:
    parameters:
      - {name: petId, in: path, required: true, description: Which pet it is. Really., schema: {type: integer, format: int64}}
    put:
      operationId: updatePet
      summary: Change the data of a pet
      parameters:
        - {name: Authorization, in: header, schema: {type: string}}
        - $ref: '#/components/parameters/Dry'
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Pet'}
      responses:
        "200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
    get:
      summary: Read
      description: Reads the data of one pet.
      responses: {}
components:
  parameters:
    Dry: {name: dryRun, in: query, schema: {type: boolean, default: false}}
  schemas:
    Pet:
      type: object
      required: [name]
      properties:
        id: {type: integer, readOnly: true, description: Its number.}
        name: {type: string, nullable: true, description: What it is called.}
        born: {type: string, format: date, example: 2020-01-02}
"""
SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "Shop", "version": "2"},
    "paths": {
        "/orders": {
            "post": {
                "description": "Places an order.",
                "parameters": [
                    {"name": "express", "in": "query", "type": "boolean", "description": "Whether it is urgent."},
                    {"name": "order", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Order"}},
                ],
                "responses": {"201": {"schema": {"$ref": "#/definitions/Order"}}},
            }
        }
    },
    "definitions": {
        "Order": {"type": "object", "required": ["item"], "properties": {"item": {"type": "string", "description": "What to buy."}}}
    },
}


def wheel(path: Path, package: str, version: str, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}-{version}.dist-info/METADATA", "")
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def packed(document) -> bytes:
    return gzip.compress(json.dumps(document).encode())


@pytest.fixture
def botocore(tmp_path):
    files = {
        "botocore/data/key-store/2014-01-01/service-2.json.gz": packed({"operations": {"Ancient": {}}}),
        "botocore/data/key-store/2020-01-01/service-2.json.gz": packed(SERVICE),
        "botocore/data/endpoints.json": b"{}",
    }
    return wheel(tmp_path / "b.whl", "botocore", "9.9", files)


def test_botocore_golden(botocore):
    (tool,) = import_botocore(botocore)
    assert tool.name == "key_store.put_key"
    assert tool.description == "Stores a key."
    assert (tool.source, tool.license) == ("botocore 9.9: key-store", "Apache-2.0")
    name = {"type": "string", "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 8}
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "key_name": {**name, "description": "The name of the key."},
            "db_instance_ids": {"type": "array", "description": "The instances & more.", "items": name, "maxItems": 5},
            "tree": {
                "type": "object",
                "description": "A tree of values.",
                "properties": {"next": {"type": "object", "description": "The next node."}},
                "additionalProperties": False,
            },
            "when": {"type": "string", "description": "When it ends.", "format": "date-time"},
            "choice": {"type": "string", "description": "One of two.", "enum": ["a", "b"]},
        },
        "required": ["key_name"],
        "additionalProperties": False,
    }
    assert tool.returns == {"type": "object", "properties": {"key_id": {"type": "string"}}}
    assert lint(tool) == []


def test_google_golden(tmp_path):
    path = "googleapiclient/discovery_cache/documents/"
    files = {f"{path}diary.v1.json": json.dumps(DISCOVERY).encode(), f"{path}diary.v2beta1.json": b"{}", f"{path}index.json": b"{}"}
    (tool,) = import_google(wheel(tmp_path / "g.whl", "google_api_python_client", "8.8", files))
    assert (tool.name, tool.description) == ("diary.events.insert", "Creates an event.")
    properties = tool.parameters["properties"]
    assert list(properties) == ["diary_id", "summary_text", "guests", "max_guests", "tags"]
    assert tool.parameters["required"] == ["diary_id", "summary_text"]
    assert properties["summary_text"] == {"type": "string", "description": "Title of the event."}
    assert properties["max_guests"] == {"type": "integer", "description": "Most guests.", "default": 250, "minimum": 1}
    assert properties["tags"] == {"type": "array", "description": "Tags to set.", "items": {"type": "string"}}
    assert properties["guests"]["items"]["properties"] == {"email": {"type": "string", "description": "Address of the guest."}}
    assert lint(tool) == []


def test_google_keeps_the_newest_stable_version():
    stems = [
        "a.v1",
        "a.v2",
        "a.v3beta1",
        "a.v10",
        "b.v1alpha",
        "b.v1beta2",
        "admin.directory_v1",
        "admin.reports_v1",
        "c.alpha",
        "c.v1",
        "c.beta",
    ]
    assert newest(stems) == ["a.v10", "admin.directory_v1", "admin.reports_v1", "b.v1beta2", "c.v1"]


def test_openapi_3_golden(tmp_path):
    path = tmp_path / "pets.yaml"
    path.write_text(PETS)
    first, second = sorted(import_openapi(path), key=lambda tool: tool.name)
    assert (second.name, second.description) == ("updatePet", "Change the data of a pet.")
    assert second.parameters == {
        "type": "object",
        "properties": {
            "petId": {"type": "integer", "description": "Which pet it is."},
            "dryRun": {"type": "boolean", "default": False, "description": "Dry run."},
            "name": {"type": ["string", "null"], "description": "What it is called."},
            "born": {"type": "string", "format": "date", "description": "Born."},
        },
        "required": ["petId", "name"],
        "additionalProperties": False,
    }
    assert second.returns is not None
    assert "id" in second.returns["properties"]
    assert (second.source, second.license) == ("pets.yaml: Pets 1.0", "MIT")
    assert (first.name, first.description) == ("get_pets_pet_id", "Reads the data of one pet.")
    assert lint(first) == lint(second) == []


def test_swagger_2_golden(tmp_path):
    path = tmp_path / "shop.json"
    path.write_text(json.dumps(SWAGGER))
    (tool,) = import_openapi(path)
    assert tool.name == "post_orders"
    assert tool.parameters["required"] == ["item"]
    assert list(tool.parameters["properties"]) == ["express", "item"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "openapi: 3.0.0\npaths:\n  /pets:\n    get:\n      parameters:\n      - {name: a, in: query}\n",
            r"paths\./pets\.get\.parameters\[0\]: no schema; add",
        ),
        ("openapi: 3.0.0\npaths:\n  /pets:\n    get:\n      parameters:\n      - {in: query}\n", r"parameters\[0\]: no name"),
        ("openapi: 3.0.0\npaths:\n  /pets:\n    get:\n      parameters: {a: 1}\n", r"parameters: expected a list, found dict"),
        (
            "openapi: 3.0.0\npaths:\n  /pets:\n    get:\n      parameters:\n      - $ref: '#/x/y'\n",
            r"parameters\[0\]: \$ref '#/x/y' leads nowhere",
        ),
        (
            "openapi: 3.0.0\npaths:\n  /a:\n    get:\n      requestBody: {content: {application/json: {schema: {$ref: '#/q'}}}}\n",
            r"get\.requestBody: \$ref",
        ),
        ("openapi: 3.0.0\npaths: [1]\n", "paths: expected an object, found list"),
        ("openapi: 3.0.0\n", "paths: there are none"),
        ("openapi: 3.0.0\npaths:\n  - [\n", r"spec\.yaml:4: not YAML"),
        ("hello: 1\n", "not an OpenAPI file"),
        ("a: &a [*a]\nopenapi: 3.0.0\n", "aliases"),
        ("- !!python/object/apply:os.getcwd []\n", "not YAML"),
    ],
)
def test_a_broken_openapi_file_is_named_with_its_place(tmp_path, text, message):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(ToolSpecError, match=message) as caught:
        list(import_openapi(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_mcp_golden_with_unions_and_references(tmp_path):
    schema = {
        "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}}},
        "type": "object",
        "properties": {
            "name": {"type": ["string", "null"], "description": "Who it is for."},
            "size": {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": "How large."},
            "at": {"$ref": "#/$defs/Point"},
        },
        "required": ["name"],
    }
    listing = {"tools": [{"name": "draw-point", "description": "Draws a point on the map.", "inputSchema": schema}]}
    for document in (listing, {"jsonrpc": "2.0", "result": listing}, listing["tools"]):
        path = tmp_path / "server.json"
        path.write_text(json.dumps(document))
        (tool,) = import_mcp(path, license="MIT")
        properties = tool.parameters["properties"]
        assert properties["name"]["type"] == ["string", "null"]
        assert properties["size"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
        assert properties["at"]["properties"] == {"x": {"type": "number"}}
        assert (tool.name, tool.license) == ("draw-point", "MIT")
        assert lint(tool) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"tools": [{"description": "x"}]}, r"tools\[0\]: no `name`"),
        ({"tools": [{"name": "a", "inputSchema": 5}]}, r"tools\[0\]: tool 'a': parameters are not an object"),
        ({"tools": [{"name": "a", "inputSchema": {"properties": {"x": {"$ref": "#/no"}}}}]}, r"tools\[0\]\.inputSchema: \$ref"),
        ({"other": 1}, "no list of tools"),
    ],
)
def test_a_broken_mcp_listing_is_named_with_its_place(tmp_path, document, message):
    path = tmp_path / "server.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ToolSpecError, match=message):
        list(import_mcp(path))


def test_broken_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "server.json"
    path.write_text('{"tools":\n [}')
    with pytest.raises(ToolSpecError, match=r"server\.json:2: not JSON"):
        list(import_mcp(path))
    with pytest.raises(MissingFileError, match="cannot be read"):
        list(import_mcp(tmp_path / "none.json"))


def book_room(city: str, nights: int, extras: "list[str] | None" = None, board: Literal["half", "full"] = "half") -> dict:
    """Book a room in a hotel.

    Args:
        city: Name of the city.
        nights (int): How many nights,
            at least one.
        extras: What else is wanted.
        board: How many meals.

    Returns:
        dict: the booking
    """


def numpy_style(rate, names):
    """Scale the values of a series.

    Parameters
    ----------
    rate : float, optional
        Factor of the scale.
    names : list of str
        What to scale.
    """


def sphinx_style(a, b=3):
    """Add two numbers together.

    :param int a: the first number
    :param b: the second number
    :type b: int
    :rtype: int
    """


def test_python_golden():
    room, scaled, added = import_python([book_room, numpy_style, sphinx_style])
    assert room.name.endswith("book_room")
    assert room.description == "Book a room in a hotel."
    assert room.parameters["properties"] == {
        "city": {"type": "string", "description": "Name of the city."},
        "nights": {"type": "integer", "description": "How many nights, at least one."},
        "extras": {"type": ["array", "null"], "items": {"type": "string"}, "description": "What else is wanted."},
        "board": {"type": "string", "enum": ["half", "full"], "description": "How many meals.", "default": "half"},
    }
    assert room.parameters["required"] == ["city", "nights"]
    assert scaled.parameters["properties"] == {
        "rate": {"type": "number", "description": "Factor of the scale."},
        "names": {"type": "array", "items": {"type": "string"}, "description": "What to scale."},
    }
    assert added.parameters["properties"]["b"] == {"type": "integer", "description": "The second number.", "default": 3}
    assert added.returns == {"type": "integer"}
    assert [lint(tool) for tool in (room, scaled, added)] == [[], [], []]


def test_untyped_functions_do_not_pass_lint():
    tools = list(import_python("statistics"))
    assert tools
    assert {tool.license for tool in tools} == {"PSF-2.0"}
    assert all(lint(tool) for tool in tools if tool.parameters["properties"])
    with pytest.raises(ToolSpecError, match="cannot be imported"):
        list(import_python("no_such_module_anywhere"))


def test_annotations_are_never_evaluated():
    def trap(x):
        """Does nothing of any use.

        Args:
            x (__import__("os").abort()): A value.
        """

    trap.__annotations__["x"] = "__import__('os').abort()"
    (tool,) = import_python([trap])
    assert "type" not in tool.parameters["properties"]["x"]


@pytest.mark.parametrize(("content", "message"), [(b"not a zip", "not a wheel"), (None, "no such wheel")])
def test_a_broken_wheel_says_how_to_fetch_it(tmp_path, content, message):
    path = tmp_path / "w.whl"
    if content is not None:
        path.write_bytes(content)
    for reader in (import_botocore, import_google):
        with pytest.raises((ToolSpecError, MissingFileError), match=f"{message}.*pip download"):
            list(reader(path))


def test_damaged_wheels_are_named(tmp_path):
    good = {"botocore/data/x/2020-01-01/service-2.json.gz": b"\x1f\x8bbroken"}
    with pytest.raises(ToolSpecError, match="not readable as JSON"):
        list(import_botocore(wheel(tmp_path / "a.whl", "botocore", "1", good)))
    with pytest.raises(ToolSpecError, match="not a wheel of botocore"):
        list(import_botocore(wheel(tmp_path / "b.whl", "other", "1", {})))
    shapeless = {"operations": {"Go": {"input": {"shape": "Missing"}}}, "shapes": {}}
    with pytest.raises(ToolSpecError, match=r"operations\.Go\.input: no shape 'Missing'"):
        list(
            import_botocore(wheel(tmp_path / "c.whl", "botocore", "1", {"botocore/data/x/2020-01-01/service-2.json.gz": packed(shapeless)}))
        )


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("DBInstanceIds", "db_instance_ids"),
        ("VpcIDs", "vpc_ids"),
        ("ACLs", "acls"),
        ("EC2InstanceId", "ec2_instance_id"),
        ("S3Bucket", "s3_bucket"),
        ("IPv6Cidr", "ipv6_cidr"),
        ("iCalUID", "ical_uid"),
        ("eTag", "etag"),
        ("lex-models", "lex_models"),
        ("options.requestedVersion", "options_requested_version"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case(name, snake):
    assert snake_case(name) == snake
    assert snake_case(snake) == snake


def test_plain_text_and_first_sentence():
    assert plain_text("<note><p>No.</p></note><p>Lists <b>all</b>&nbsp;keys,\n e.g. [this](http://x).</p>") == "Lists all keys, e.g. this."
    assert first_sentence("Lists keys, e.g. These ones. And more.", 160) == "Lists keys, e.g. These ones."
    assert first_sentence("lists keys", 160) == "Lists keys."
    assert first_sentence("Start the iteration.This operation uses data", 160) == "Start the iteration."
    assert plain_text("<p> <b>Works with:</b> EC2 </p> <p>Deletes an alias.</p>") == "Deletes an alias."
    assert len(first_sentence("word " * 100, 160)) <= 160


WHEELS = Path(os.environ.get("LUTHIER_WHEELS", "/nonexistent"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "reader", "fewest", "services"),
    [("botocore-*.whl", import_botocore, 19_000, 400), ("google_api_python_client-*.whl", import_google, 13_000, 300)],
)
def test_the_real_wheels(pattern, reader, fewest, services):
    found = sorted(WHEELS.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in the folder LUTHIER_WHEELS")
    tools = list(reader(found[-1]))
    assert len(tools) >= fewest
    assert len({tool.source for tool in tools}) >= services
    assert sum(not lint(tool) for tool in tools[::10]) >= 0.95 * len(tools[::10])
