"""template.yaml as plain CloudFormation for given parameters: translated by SAM, conditions decided, nothing left that is not made.

The AWS stand-in keeps `AWS::NoValue` in lists as null, which makes its policies malformed, and fails at references to what it
does not know. With this it gets what CloudFormation itself would make of the template, but for the dashboard, which refers to
alarms, and the stand-in makes none. It attaches no managed policies either: who tests rights attaches `EveryFunction`.

    plain.py CODE_URI KEY=VALUE… > stack.json      CODE_URI: s3://bucket/code.zip, for functions and layers alike
"""

import json
import sys
from pathlib import Path

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
NOTHING = {"Ref": "AWS::NoValue"}


def plain(code_uri, given):
    template = yaml_parse(TEMPLATE.read_text())
    parameters = {name: given.get(name, str(form.get("Default", ""))) for name, form in template["Parameters"].items()}
    for resource in template["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            if key in resource["Properties"]:
                resource["Properties"][key] = code_uri
    session = boto3.Session(region_name="us-east-1")
    template = Translator({}, Parser(), boto_session=session).translate(template, parameters)
    conditions = Conditions(template.pop("Conditions"), parameters)
    template.pop("Rules")
    for section in ("Resources", "Outputs"):
        made = {n: e for n, e in template[section].items() if "Condition" not in e or conditions.hold(e.pop("Condition"))}
        template[section] = conditions.decide(made)
    del template["Resources"]["Dashboard"]
    return template


class Conditions:
    def __init__(self, rules, parameters):
        self.rules, self.parameters = rules, parameters

    def hold(self, name):
        return self._value({"Condition": name})

    def decide(self, value):
        if isinstance(value, list):
            return [decided for decided in map(self.decide, value) if decided != NOTHING]
        if not isinstance(value, dict):
            return value
        if "Fn::If" in value:
            name, yes, no = value["Fn::If"]
            return self.decide(yes if self.hold(name) else no)
        decided = {key: self.decide(entry) for key, entry in value.items()}
        return {key: entry for key, entry in decided.items() if entry != NOTHING}

    def _value(self, rule):
        if not isinstance(rule, dict):
            return str(rule)
        ((form, content),) = rule.items()
        match form:
            case "Condition":
                return self._value(self.rules[content])
            case "Ref":
                return self.parameters[content]
            case "Fn::Equals":
                return self._value(content[0]) == self._value(content[1])
            case "Fn::Not":
                return not self._value(content[0])
            case "Fn::Or":
                return any(self._value(entry) for entry in content)
            case "Fn::Join":
                return self._value(content[1])
        raise ValueError(f"a condition in an unknown form: {rule}")


if __name__ == "__main__":
    print(json.dumps(plain(sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:])), indent=1))
