"""The schemas of the functions' events, held against the examples. That the functions know the same fields, and understand the
examples, is tested where they run: functions/tests/it/events.rs."""

import copy
import json
import unittest
from pathlib import Path

import jsonschema

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ["backup", "cleanup", "restore", "validate", "watch"]


def schema(function):
    return json.loads((ROOT / f"docs/events/{function}.schema.json").read_text())


def examples(function):
    found = sorted((ROOT / f"functions/{function}/events").glob("*.json"))
    return {path.name: json.loads(path.read_text()) for path in found}


class Events(unittest.TestCase):
    def test_the_schemas_are_schemas_and_say_what_they_are_for(self):
        self.assertEqual(sorted(path.name for path in (ROOT / "docs/events").iterdir()), [f"{f}.schema.json" for f in FUNCTIONS])
        for function in FUNCTIONS:
            found = schema(function)
            jsonschema.Draft202012Validator.check_schema(found)
            self.assertTrue(found["title"] and found["description"], function)
            for name, field in found.get("properties", {}).items():
                self.assertIn("description", field, f"{function}: {name}")

    def test_every_example_is_one(self):
        for function in FUNCTIONS:
            found = examples(function)
            self.assertTrue(found, function)
            for name, event in found.items():
                with self.subTest(f"{function}/{name}"):
                    jsonschema.validate(event, schema(function), jsonschema.Draft202012Validator)

    def test_what_the_functions_refuse_is_none(self):
        for function in FUNCTIONS:
            validator = jsonschema.Draft202012Validator(schema(function))
            for name, event in examples(function).items():
                if "Records" in event or "detail" in event:
                    continue
                for wrong in self.spoiled(event):
                    with self.subTest(f"{function}/{name}", event=wrong):
                        self.assertFalse(validator.is_valid(wrong))
        validator = jsonschema.Draft202012Validator(schema("validate"))
        for wrong in ({"Records": [{}]}, {"source": "aws.s3", "detail": {}}, {"depth": "deep"}, {"pick": "best"}, []):
            self.assertFalse(validator.is_valid(wrong), wrong)

    @staticmethod
    def spoiled(event):
        yield {**event, "no such field": 1}
        for name in event:
            wrong = copy.deepcopy(event)
            wrong[name] = 5.5
            yield wrong


if __name__ == "__main__":
    unittest.main()
