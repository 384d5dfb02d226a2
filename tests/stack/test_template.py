"""What no linter sees in template.yaml: who may do what, that nothing fails in silence, that nothing is lost with the stack.

`tests/ci/stack` runs it, with the packages that it needs.
"""

import json
import re
import unittest
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text())
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {name: f"{name}Function" for name in ("Backup", "Validate", "Cleanup", "Restore", "Watch")}

# Each role's rights: (condition, action, resource). `vault:` is the bucket below the vault's prefix. A right that is not here
# makes a test fail, as does one that is here and not in the template.
SHARED = {
    ("", "s3:ListBucket", "bucket"),
    ("", "s3:GetObject", "vault:*"),
    ("HasBucketKey", "kms:Decrypt", "BucketKeyArn"),
    ("UseKms", "kms:Decrypt", "MasterKmsKeyArn"),
    ("not UseKms", "secretsmanager:GetSecretValue", "MasterKeySecretArn if HasMasterKeySecret else MasterKey"),
    ("HasSecretsKeys", "kms:Decrypt", "SecretsKeyArns"),
    ("HasAlertSecrets", "secretsmanager:GetSecretValue", "AlertSecretArns"),
    ("", "sns:Publish", "Alerts"),
    ("", "kms:Decrypt", "AlertKey.Arn"),
    ("", "kms:GenerateDataKey", "AlertKey.Arn"),
    ("", "sqs:SendMessage", "DeadLetters.Arn"),
}
WRITES = ("HasBucketKey", "kms:GenerateDataKey", "BucketKeyArn")
WRAPS = ("UseKms", "kms:Encrypt", "MasterKmsKeyArn")
OWN = {
    "Backup": {
        ("", "s3:PutObject", "vault:audit/*"),
        ("", "s3:PutObject", "vault:format/*"),
        ("", "s3:PutObject", "vault:databases/*"),
        ("", "s3:PutObject", "vault:probe/create-only"),
        ("", "s3:PutObjectTagging", "vault:databases/*/archive/*"),
        WRITES,
        WRAPS,
        ("", "secretsmanager:GetSecretValue", "DatabaseSecretArns"),
        ("", "lambda:InvokeFunction", "function:${AWS::StackName}-backup"),
    },
    "Validate": {
        ("", "s3:PutObject", "vault:audit/*"),
        ("", "s3:PutObject", "vault:databases/*/verdicts/*"),
        ("", "s3:PutObject", "vault:databases/*/drills/*"),
        WRITES,
        ("HasRestoreSecret", "secretsmanager:GetSecretValue", "RestoreSecretArn"),
    },
    "Cleanup": {
        ("", "s3:PutObject", "vault:audit/*"),
        ("", "s3:PutObject", "vault:databases/*/tombstones/*"),
        ("", "s3:DeleteObject", "vault:databases/*/backups/*"),
        ("", "s3:GetObjectRetention", "vault:databases/*/backups/*"),
        ("", "s3:GetObjectLegalHold", "vault:databases/*/backups/*"),
        ("", "s3:DeleteObject", "vault:databases/*/pool/*"),
        ("", "s3:DeleteObject", "vault:databases/*/archive/*"),
        *{
            ("DeletesVersions", f"s3:{action}", f"vault:databases/*/{where}/*")
            for action in ("DeleteObjectVersion", "GetObjectVersion", "GetObjectRetention", "GetObjectLegalHold")
            for where in ("backups", "pool", "archive")
        },
        ("DeletesVersions", "s3:ListBucketVersions", "bucket"),
        WRITES,
    },
    "Restore": {
        ("", "s3:PutObject", "vault:audit/*"),
        ("", "s3:PutObject", "vault:databases/*"),
        ("", "s3:RestoreObject", "vault:databases/*/archive/*"),
        WRITES,
        WRAPS,
        ("", "secretsmanager:GetSecretValue", "RestoreSecretArn if HasRestoreSecret else DatabaseSecretArns"),
    },
    "Watch": {
        ("", "s3:PutObject", "vault:alerts/*"),
        ("", "s3:PutObject", "vault:digests/*"),
        WRITES,
    },
}
SCHEDULER = {
    *{("", "lambda:InvokeFunction", f"{name}Function.Arn") for name in ("Backup", "Validate", "Cleanup", "Watch")},
    ("", "sqs:SendMessage", "DeadLetters.Arn"),
}
# Why a statement may say `*` as its resource.
STARS = {
    ("Network", "AttachToSubnets"): "EC2 knows no resources for these actions before the interface exists",
    ("Network", "ButNotFromTheCode"): "it denies",
    ("AlertKey", "RightsAreGivenByIam"): "in a key's policy, `*` is the key itself",
    ("AlertKey", "AlarmsMayPublish"): "in a key's policy, `*` is the key itself",
}
METRICS = {
    **dict.fromkeys(["BackupSucceeded", "Duration", "StoredBytes", "NewBytes", "Rows", "RowsPerSecond", "DedupRatio", "RTO", "RPO"], {"Stack", "Stack,Database", "Stack,Database,Tier"}),
    **dict.fromkeys(["VerificationFailed", "DrillFailed", "LastBackupAge", "LastVerifiedAge", "SuccessRate"], {"Stack", "Stack,Database"}),
    "AlertFailed": {"Stack"},
}


def of_type(kind):
    found = {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}
    assert found, f"no {kind} in the template"
    return found


def properties(name):
    return RESOURCES[name]["Properties"]


def listed(value):
    return value if isinstance(value, list) else [value]


def branches(value, condition=""):
    """What an `!If` can become, each with its condition."""
    if isinstance(value, dict) and "Fn::If" in value:
        name, yes, no = value["Fn::If"]
        assert condition == "", "a condition in a condition: say it in words here first"
        yield from branches(yes, name)
        yield from branches(no, f"not {name}")
    elif value != {"Ref": "AWS::NoValue"}:
        yield condition, value


def shown(value):
    """A resource's name as the tables above write it."""
    if isinstance(value, str):
        return value
    (form, content), = value.items()
    if form == "Ref":
        return content
    if form == "Fn::GetAtt":
        return ".".join(listed(content))
    if form == "Fn::If":
        return f"{shown(content[1])} if {content[0]} else {shown(content[2])}"
    assert form == "Fn::Sub", value
    text = content[0] if isinstance(content, list) else content
    for long, short in {
        "arn:${AWS::Partition}:s3:::${Bucket}/${VaultPrefix}": "vault:",
        "arn:${AWS::Partition}:s3:::${Bucket}": "bucket",
        "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:": "",
    }.items():
        text = text.replace(long, short)
    return text


def rights(statements):
    found = set()
    for condition, statement in (pair for entry in statements for pair in branches(entry)):
        assert statement["Effect"] == "Allow", statement
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                found.add((condition, action, shown(resource)))
    return found


def inline(role):
    return rights([s for policy in properties(role)["Policies"] for s in policy["PolicyDocument"]["Statement"]])


def documents():
    """Every policy of the template, with its resource's name."""
    for name, resource in RESOURCES.items():
        content = resource["Properties"]
        for key in ("PolicyDocument", "KeyPolicy"):
            if key in content:
                yield name, content[key]
        for policy in content.get("Policies", []):
            yield name, policy["PolicyDocument"]


class Rights(unittest.TestCase):
    def test_each_role_may_do_what_the_table_says_and_nothing_else(self):
        for name, own in OWN.items():
            with self.subTest(name):
                self.assertEqual(inline(f"{name}Role"), own | {
                    ("", "logs:CreateLogStream", f"{name}Log.Arn"),
                    ("", "logs:PutLogEvents", f"{name}Log.Arn"),
                })
        self.assertEqual(inline("SchedulerRole"), SCHEDULER)
        self.assertEqual(rights(properties("EveryFunction")["PolicyDocument"]["Statement"]), SHARED)

    def test_there_are_no_other_roles_and_policies(self):
        self.assertEqual(set(of_type("AWS::IAM::Role")), {f"{name}Role" for name in OWN} | {"SchedulerRole"})
        self.assertEqual(set(of_type("AWS::IAM::ManagedPolicy")), {"EveryFunction", "Network"})
        self.assertEqual([r["Type"] for r in RESOURCES.values() if r["Type"] == "AWS::IAM::Policy"], [])
        for name in OWN:
            attached = properties(f"{name}Role")["ManagedPolicyArns"]
            self.assertEqual(
                attached, [{"Ref": "EveryFunction"}, {"Fn::If": ["InVpc", {"Ref": "Network"}, {"Ref": "AWS::NoValue"}]}]
            )

    def test_each_function_has_a_role_of_its_own(self):
        for name, function in FUNCTIONS.items():
            self.assertEqual(shown(properties(function)["Role"]), f"{name}Role.Arn")
            self.assertNotIn("Policies", properties(function))

    def test_only_cleanup_deletes(self):
        for name, document in documents():
            for statement in document["Statement"]:
                for condition, branch in branches(statement):
                    for action in listed(branch["Action"]):
                        if branch["Effect"] == "Allow" and re.match(r"s3:(\*|Delete)", action):
                            allowed = {("", "s3:DeleteObject"), ("DeletesVersions", "s3:DeleteObjectVersion")}
                            self.assertEqual(name, "CleanupRole")
                            self.assertIn((condition, action), allowed)

    def test_versions_are_deleted_only_where_somebody_asked_for_it(self):
        self.assertEqual(TEMPLATE["Parameters"]["DeleteVersions"]["Default"], "false")
        self.assertEqual(TEMPLATE["Conditions"]["DeletesVersions"], {"Fn::Equals": [{"Ref": "DeleteVersions"}, "true"]})

    def test_a_star_as_resource_has_a_reason(self):
        found = set()
        for name, document in documents():
            for statement in document["Statement"]:
                for _, branch in branches(statement):
                    if "*" in listed(branch["Resource"]):
                        found.add((name, branch["Sid"]))
        self.assertEqual(found, set(STARS))

    def test_the_networks_rights_are_denied_to_the_code(self):
        allow, deny = properties("Network")["PolicyDocument"]["Statement"]
        self.assertEqual((allow["Effect"], deny["Effect"]), ("Allow", "Deny"))
        self.assertEqual(allow["Action"], deny["Action"])
        self.assertTrue(all(action.startswith("ec2:") for action in allow["Action"]))
        self.assertIn("lambda:SourceFunctionArn", deny["Condition"]["ArnLike"])

    def test_listing_is_limited_to_the_prefix(self):
        (listing,) = [s for s in properties("EveryFunction")["PolicyDocument"]["Statement"] if s.get("Action") == "s3:ListBucket"]
        self.assertEqual(listing["Condition"], {"StringLikeIfExists": {"s3:prefix": {"Fn::Sub": "${VaultPrefix}*"}}})

    def test_only_services_of_this_account_are_let_in(self):
        (trust,) = properties("SchedulerRole")["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(set(trust["Condition"]["StringEquals"]), {"aws:SourceAccount", "aws:SourceArn"})
        for name in OWN:
            (trust,) = properties(f"{name}Role")["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual(trust["Principal"], {"Service": "lambda.amazonaws.com"})
        for name, document in documents():
            for statement in document["Statement"]:
                for _, branch in branches(statement):
                    if branch["Effect"] == "Allow" and "Service" in branch.get("Principal", {}):
                        keys = {key for test in branch["Condition"].values() for key in test}
                        self.assertTrue(keys & {"aws:SourceAccount", "aws:SourceArn"}, (name, branch["Sid"]))


class Vault(unittest.TestCase):
    def test_it_outlives_the_stack(self):
        for name in ("VaultBucket", "VaultBucketPolicy", "MasterKey"):
            self.assertEqual(RESOURCES[name]["DeletionPolicy"], "Retain", name)
            self.assertEqual(RESOURCES[name]["UpdateReplacePolicy"], "Retain", name)

    def test_it_is_versioned_encrypted_and_private(self):
        bucket = properties("VaultBucket")
        self.assertEqual(bucket["VersioningConfiguration"], {"Status": "Enabled"})
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        self.assertEqual(
            rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"], {"Fn::If": ["HasBucketKey", "aws:kms", "AES256"]}
        )
        public = bucket["PublicAccessBlockConfiguration"]
        self.assertEqual(list(public.values()), [True] * 4)
        self.assertEqual(bucket["OwnershipControls"], {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
        self.assertEqual(bucket["NotificationConfiguration"], {"EventBridgeConfiguration": {"EventBridgeEnabled": True}})

    def test_it_is_reached_over_tls_and_never_overwritten(self):
        statements = {s["Sid"]: s for s in properties("VaultBucketPolicy")["PolicyDocument"]["Statement"]}
        self.assertEqual(set(statements), {"OnlyOverTls", "OnlyCreate"})
        for statement in statements.values():
            self.assertEqual((statement["Effect"], statement["Principal"]), ("Deny", "*"))
        everything = [{"Fn::GetAtt": ["VaultBucket", "Arn"]}, {"Fn::Sub": "${VaultBucket.Arn}/*"}]
        self.assertEqual(statements["OnlyOverTls"]["Action"], "s3:*")
        self.assertEqual(statements["OnlyOverTls"]["Resource"], everything)
        self.assertEqual(statements["OnlyOverTls"]["Condition"], {"Bool": {"aws:SecureTransport": "false"}})
        self.assertEqual(statements["OnlyCreate"]["Action"], "s3:PutObject")
        self.assertEqual(statements["OnlyCreate"]["Resource"], everything[1])
        self.assertEqual(statements["OnlyCreate"]["Condition"], {"Null": {"s3:if-none-match": "true"}})

    def test_old_versions_outlive_the_grace_time(self):
        rules = {rule["Id"]: rule for rule in properties("VaultBucket")["LifecycleConfiguration"]["Rules"]}
        self.assertTrue(all(rule["Status"] == "Enabled" for rule in rules.values()))
        self.assertGreater(rules["expire-old-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"], 3)
        self.assertIn("AbortIncompleteMultipartUpload", rules["abort-multipart"])
        archive = rules["archive-to-glacier"]
        self.assertEqual(archive["TagFilters"], [{"Key": "lifeboat-storage", "Value": "archive"}])
        self.assertEqual(archive["Transitions"], [{"StorageClass": "GLACIER", "TransitionInDays": 30}])
        # Current versions are deleted by the sweep alone.
        self.assertFalse(any("ExpirationInDays" in rule for rule in rules.values()))

    def test_a_generated_master_key_is_the_base64_of_32_bytes(self):
        self.assertEqual(properties("MasterKey")["GenerateSecretString"], {"PasswordLength": 43, "ExcludePunctuation": True})


class Starts(unittest.TestCase):
    def test_every_cron_expression_has_six_fields_and_one_question_mark(self):
        for name, schedule in of_type("AWS::Scheduler::Schedule").items():
            expression = schedule["ScheduleExpression"]
            if isinstance(expression, dict):
                parameter = re.fullmatch(r"cron\(\$\{(\w+)\}\)", expression["Fn::Sub"])[1]
                fields = TEMPLATE["Parameters"][parameter]["Default"]
                pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
                self.assertRegex(fields, pattern, name)
                for wrong in ("0 2 * * *", "0 2 * * * *", "0 2 ? * ? *", "0 2 ? * ? ? *", "cron(0 2 * * ? *)", "rate(1 day)"):
                    self.assertNotRegex(wrong, pattern, name)
            else:
                fields = re.fullmatch(r"cron\((.*)\)", expression)[1]
            self.assertEqual(len(fields.split(" ")), 6, name)
            self.assertEqual(fields.split(" ").count("?"), 1, name)
            self.assertEqual(fields.count("?"), 1, name)

    def test_every_schedule_sends_what_its_function_understands(self):
        sent = {}
        for name, schedule in of_type("AWS::Scheduler::Schedule").items():
            sent[name] = (shown(schedule["Target"]["Arn"]), json.loads(schedule["Target"]["Input"]))
        job = "<aws.scheduler.scheduled-time>"
        tiers = {t: ("BackupFunction.Arn", {"tier": t.lower(), "job": job}) for t in ("Hourly", "Daily", "Weekly", "Monthly")}
        self.assertEqual(sent, {
            **{f"{tier}Schedule": what for tier, what in tiers.items()},
            "CleanupSchedule": ("CleanupFunction.Arn", {}),
            "WatchSchedule": ("WatchFunction.Arn", {}),
            "DrillSchedule": ("ValidateFunction.Arn", {"drill": True, "pick": "random", "tier": "daily"}),
            "MonthlyDrillSchedule": ("ValidateFunction.Arn", {"each_tier": True}),
        })

    def test_nothing_is_lost_in_silence(self):
        dead_letters = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
        targets = {name: s["Target"] for name, s in of_type("AWS::Scheduler::Schedule").items()}
        targets |= {f"{name} {t['Id']}": t for name, r in of_type("AWS::Events::Rule").items() for t in r["Targets"]}
        for name, target in targets.items():
            self.assertEqual(target.get("DeadLetterConfig"), {"Arn": dead_letters}, name)
            self.assertGreater(target["RetryPolicy"]["MaximumRetryAttempts"], 0, name)
        retries = {}
        for config in of_type("AWS::Lambda::EventInvokeConfig").values():
            self.assertEqual(config["DestinationConfig"]["OnFailure"]["Destination"], dead_letters)
            retries[config["FunctionName"]["Ref"]] = config["MaximumRetryAttempts"]
        self.assertEqual(retries, {f: 1 if f == "RestoreFunction" else 2 for f in of_type("AWS::Serverless::Function")})

    def test_a_published_manifest_is_validated(self):
        (rule,) = of_type("AWS::Events::Rule").values()
        pattern = rule["EventPattern"]
        self.assertEqual((pattern["source"], pattern["detail-type"]), (["aws.s3"], ["Object Created"]))
        (key,) = pattern["detail"]["object"]["key"]
        self.assertEqual(key, {"wildcard": {"Fn::Sub": "${VaultPrefix}databases/*/backups/*/manifest.json"}})
        self.assertEqual([shown(t["Arn"]) for t in rule["Targets"]], ["ValidateFunction.Arn"])
        (permission,) = of_type("AWS::Lambda::Permission").values()
        self.assertEqual(permission["FunctionName"], {"Ref": "ValidateFunction"})
        self.assertEqual(shown(permission["SourceArn"]), "BackupPublished.Arn")


class Functions(unittest.TestCase):
    def test_they_are_the_ones_that_are_built(self):
        shared = TEMPLATE["Globals"]["Function"]
        self.assertEqual((shared["Runtime"], shared["Handler"], shared["Timeout"]), ("provided.al2023", "bootstrap", 900))
        self.assertEqual(set(of_type("AWS::Serverless::Function")), set(FUNCTIONS.values()))
        for name, function in FUNCTIONS.items():
            content, low = properties(function), name.lower()
            self.assertEqual(content["CodeUri"], f"target/lambda/{low}/")
            self.assertEqual(content["FunctionName"], {"Fn::Sub": "${AWS::StackName}-" + low})
            self.assertEqual(RESOURCES[function]["Metadata"], {"SkipBuild": True})
            self.assertEqual("Layers" in content, name in ("Backup", "Validate", "Restore"))

    def test_each_knows_what_it_needs_and_no_more(self):
        shared = {"VAULT", "MASTER_KEY_SECRET", "KMS_KEY", *(f"FUNCTION_{n}" for n in (
            "STACK", "DATABASES", "DATABASE_SECRETS", "ALERT_TOPIC", "SETTINGS"))}
        tiers = {f"TIERS__{tier}__KEEP_LAST" for tier in ("HOURLY", "DAILY", "WEEKLY", "MONTHLY")}
        own = {
            "Backup": {"FUNCTION_CREATE_VAULT", "TIERS__MONTHLY__STORAGE"},
            "Validate": {"FUNCTION_DEPTH", "FUNCTION_NOTIFY_SUCCESS", "FUNCTION_RESTORE_SECRET"},
            "Cleanup": tiers | {"RETENTION__DELETE_VERSIONS"},
            "Restore": {"FUNCTION_RESTORE_SECRET"},
            "Watch": tiers | {"FUNCTION_BACKUP_AGE_LIMIT_H"},
        }
        variables = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
        self.assertEqual(variables, {f"LIFEBOAT_{name}" for name in shared})
        for name, expected in own.items():
            found = properties(FUNCTIONS[name]).get("Environment", {}).get("Variables", {})
            self.assertEqual(set(found), {f"LIFEBOAT_{n}" for n in expected}, name)

    def test_logs_do_not_stay_for_ever(self):
        for name in FUNCTIONS:
            self.assertEqual(properties(f"{name}Log")["RetentionInDays"], {"Ref": "LogRetentionDays"})
            self.assertEqual(properties(f"{name}Function")["LoggingConfig"]["LogGroup"], {"Ref": f"{name}Log"})
        self.assertEqual(len(of_type("AWS::Logs::LogGroup")), len(FUNCTIONS))


class Alarms(unittest.TestCase):
    ALARMS = of_type("AWS::CloudWatch::Alarm")

    def test_somebody_is_told(self):
        for name, alarm in self.ALARMS.items():
            self.assertEqual(alarm["AlarmActions"], [{"Ref": "Alerts"}], name)
            self.assertIs(alarm.get("ActionsEnabled", True), True, name)

    def test_each_function_is_watched(self):
        for name, function in FUNCTIONS.items():
            for metric in ("Errors", "Throttles", "Duration"):
                alarm = self.ALARMS[f"{name}{metric}"]
                self.assertEqual((alarm["Namespace"], alarm["MetricName"]), ("AWS/Lambda", metric))
                self.assertEqual(alarm["Dimensions"], [{"Name": "FunctionName", "Value": {"Ref": function}}])
            timeout_ms = 1000 * properties(function).get("Timeout", TEMPLATE["Globals"]["Function"]["Timeout"])
            self.assertEqual(self.ALARMS[f"{name}Duration"]["Threshold"], timeout_ms * 9 // 10)

    def test_silence_is_no_recent_backup(self):
        alarm = self.ALARMS["NoRecentBackup"]
        self.assertEqual(alarm["TreatMissingData"], "breaching")
        self.assertEqual(alarm["ComparisonOperator"], "GreaterThanThreshold")
        self.assertEqual(alarm["Threshold"], {"Ref": "BackupAgeLimitHours"})
        seconds, hours = alarm["Metrics"]
        self.assertEqual((seconds["MetricStat"]["Stat"], hours["Expression"]), ("Maximum", "age / 3600"))
        self.assertIs(seconds["ReturnData"], False)

    def test_dead_letters_are_noticed(self):
        alarm = self.ALARMS["UndeliveredEvents"]
        self.assertEqual(alarm["MetricName"], "ApproximateNumberOfMessagesVisible")
        self.assertEqual(shown(alarm["Dimensions"][0]["Value"]), "DeadLetters.QueueName")

    def test_alarms_and_dashboard_name_metrics_that_the_functions_send(self):
        named = set()
        for alarm in self.ALARMS.values():
            metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]
            for metric in metrics:
                if metric["Namespace"] == "Lifeboat":
                    named.add((metric["MetricName"], ",".join(d["Name"] for d in metric["Dimensions"])))
        for widget in dashboard()["widgets"]:
            for row in widget["properties"].get("metrics", []):
                if row[0] == "Lifeboat":
                    named.add((row[1], ",".join(row[2:-1:2])))
                elif isinstance(row[0], dict):
                    dimensions, metric = re.match(r"SEARCH\('\{Lifeboat,([\w,]+)\} MetricName=\"(\w+)\"", row[0]["expression"]).groups()
                    named.add((metric, dimensions))
        for metric, dimensions in named:
            self.assertIn(dimensions, METRICS.get(metric, set()), metric)
        self.assertEqual({metric for metric, _ in named}, set(METRICS), "a metric that nobody looks at")

    def test_the_dashboard_shows_every_alarm(self):
        (shown_alarms,) = [w["properties"]["alarms"] for w in dashboard()["widgets"] if w["type"] == "alarm"]
        self.assertEqual(set(shown_alarms), {"${%s.Arn}" % name for name in self.ALARMS})

    def test_alarms_may_publish_to_the_encrypted_topic(self):
        self.assertEqual(shown(properties("Alerts")["KmsMasterKeyId"]), "AlertKey.Arn")
        statements = {s["Sid"]: s for s in properties("AlertKey")["KeyPolicy"]["Statement"]}
        self.assertEqual(statements["AlarmsMayPublish"]["Principal"], {"Service": "cloudwatch.amazonaws.com"})
        self.assertIs(properties("DeadLetters")["SqsManagedSseEnabled"], True)


class Form(unittest.TestCase):
    def test_every_parameter_is_described_grouped_and_checked(self):
        parameters = TEMPLATE["Parameters"]
        groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        self.assertEqual(sorted(grouped), sorted(parameters))
        for name, parameter in parameters.items():
            self.assertTrue(parameter.get("Description"), name)
            self.assertTrue({"AllowedValues", "ConstraintDescription"} & set(parameter), name)
            if "AllowedPattern" in parameter and "Default" in parameter:
                self.assertRegex(parameter["Default"], f"^({parameter['AllowedPattern']})$", name)

    def test_only_what_is_different_for_everybody_must_be_filled_in(self):
        asked = {name for name, parameter in TEMPLATE["Parameters"].items() if "Default" not in parameter}
        self.assertEqual(asked, {"Databases", "DatabaseSecretArns"})

    def test_the_guide_explains_every_parameter_and_alarm(self):
        guide = (ROOT / "docs/deploy.md").read_text()
        alarms = {"NoRecentBackup", "VerificationFailed", "DrillFailed", "AlertFailed", "UndeliveredEvents"}
        for name in {*TEMPLATE["Parameters"], *alarms}:
            self.assertIn(f"`{name}`", guide)


def dashboard():
    body = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    return json.loads(body)


if __name__ == "__main__":
    unittest.main()
