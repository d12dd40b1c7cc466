"""Validates recorded answers against assets/openapi.json. Then removes each property of the schemas of answers, one at a time, and
checks that an answer is no longer valid.

Each line of standard input is an answer: operation, status, type and body. Prints what is wrong, one line each, and at
the end how many properties and answers there were.
"""

import copy
import json
import sys

import jsonschema_rs

document = json.load(open(sys.argv[1]))
records = [json.loads(line) for line in sys.stdin]


def resolve(value):
    """Returns the target of a reference, or the value itself."""
    if "$ref" not in value:
        return value
    target = document
    for name in value["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return target


operations = {
    operation["operationId"]: operation
    for path in document["paths"].values()
    for operation in path.values()
}


def schema_of(operation, status, media_type):
    """Returns the name of the schema of an answer."""
    if operation == "delivery":
        content = document["webhooks"]["delivery"]["post"]["requestBody"]["content"]
    else:
        content = resolve(operations[operation]["responses"][str(status)])["content"]
    return content[media_type]["schema"]["$ref"].split("/")[-1]


def is_valid(name, body, schemas):
    # The components are a part of the schema, so that references have targets.
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    return jsonschema_rs.Draft202012Validator(schema).is_valid(body)


def references(value):
    """Returns the names of the schemas that a schema refers to."""
    if isinstance(value, dict):
        own = {value["$ref"].split("/")[-1]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(references(each) for each in value))
    return set()


def all_references(names, schemas):
    found, rest = set(), set(names)
    while rest:
        name = rest.pop()
        found.add(name)
        rest |= references(schemas[name]) - found
    return found


def properties(schema, pointer=()):
    """Returns the place of each object with properties, and the names of the properties."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from ((pointer, name) for name in schema["properties"])
        for name, each in schema.items():
            yield from properties(each, (*pointer, name))
    elif isinstance(schema, list):
        for at, each in enumerate(schema):
            yield from properties(each, (*pointer, at))


def without(schemas, name, pointer, removed):
    changed = {**schemas, name: copy.deepcopy(schemas[name])}
    target = changed[name]
    for step in pointer:
        target = target[step]
    del target["properties"][removed]
    if removed in target.get("required", []):
        target["required"].remove(removed)
    return changed


schemas = document["components"]["schemas"]
answers = []
for record in records:
    name = schema_of(record["operation"], record["status"], record["type"])
    answers.append((name, record["body"]))
    if not is_valid(name, record["body"], schemas):
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        error = next(jsonschema_rs.Draft202012Validator(schema).iter_errors(record["body"]))
        print(f"{record['operation']} {record['status']}: {error.message} at {error.instance_path}")

# Answers that are files have no schema.
described = {
    operation: {
        media["schema"]["$ref"].split("/")[-1]
        for response in each["responses"].values()
        for media in resolve(response).get("content", {}).values()
        if "$ref" in media["schema"]
    }
    for operation, each in operations.items()
}
for operation, each in operations.items():
    success = each["responses"]["200"]["content"].values()
    recorded = any(record["operation"] == operation and record["status"] == 200 for record in records)
    if not recorded and any("$ref" in media["schema"] for media in success):
        print(f"{operation}: no answer was recorded")

names = all_references({"Delivery"}.union(*described.values()), schemas)
by_name = {name: all_references({name}, schemas) for name, _ in answers}
removed = 0
for name in sorted(names):
    for pointer, property_name in properties(schemas[name]):
        changed = without(schemas, name, pointer, property_name)
        affected = (answer for answer in answers if name in by_name[answer[0]])
        if all(is_valid(of, body, changed) for of, body in affected):
            print(f"{name}{list(pointer)}: no answer needs the property {property_name}")
        removed += 1
print(f"{removed} properties, {len(answers)} answers")
