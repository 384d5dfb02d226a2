"""The stack from end to end: the template, created on an AWS stand-in whose guard is on; the functions' programs, each with the
variables and the rights that the template gives it; a real PostgreSQL server.

    end_to_end.py STACK_JSON PROGRAMS [BUILD]      STACK_JSON from plain.py; PROGRAMS/‹function›/bootstrap

With BUILD, the folder that `sam build` made, the programs must be what it packs, and are measured.

The tests tell one story, in the order of their names.
"""

import fnmatch
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import zipfile
from pathlib import Path

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
BED = ROOT / "tests/bed/bed"
STACK = "acme"
BUCKET_OF_OTHERS = "bucket-of-others"
FUNCTIONS = ["backup", "validate", "cleanup", "restore", "watch"]
MASTER_KEY = "k" * 43
MAX_ZIP_BYTES = 10_000_000
STARTS = 20


class Aws:
    """The stand-in, and an administrator's way to it."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.notes = folder / "notes"
        command = [sys.executable, str(Path(__file__).with_name("guarded_aws.py")), str(self.port), str(self.notes)]
        with open(folder / "aws.log", "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.keys = {"aws_access_key_id": "admin", "aws_secret_access_key": "admin"}
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "aws.log").read_text()[-2000:]
            time.sleep(0.05)

    def answers(self):
        try:
            return urllib.request.urlopen(f"{self.endpoint}/moto-api/data.json").status == 200
        except OSError:
            return False

    def client(self, service, keys=None):
        # A refusal is an answer, not something to try again.
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", config=config, **(keys or self.keys))

    def close_the_gate(self):
        """From now on only an administrator, and whoever has a role, gets in."""
        iam = self.client("iam")
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.create_user(UserName="admin")
        iam.put_user_policy(UserName="admin", PolicyName="all", PolicyDocument=json.dumps(everything))
        made = iam.create_access_key(UserName="admin")["AccessKey"]
        self.keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        calls_without_guard = urllib.request.Request(
            f"{self.endpoint}/moto-api/reset-auth", data=b"0", method="POST", headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(calls_without_guard)

    def noted(self):
        return [json.loads(line) for line in self.notes.read_text().splitlines()] if self.notes.exists() else []


class Site:
    """Everything that the story happens in."""

    def __init__(self, template, programs, build=None):
        self.folder = Path(tempfile.mkdtemp(prefix="lifeboat-stack-"))
        self.template = json.loads(Path(template).read_text())
        self.programs, self.build = Path(programs).resolve(), Path(build).resolve() if build else None
        self.server = json.loads(bed("up", "17"))["17"]
        layer = ROOT / "infra/client-tools/build/x86_64/bin/pg_dump"
        self.pg_dump = str(layer) if layer.exists() else json.loads(bed("up", "tools"))["tools"]["pg_dump"]
        self.aws = Aws(self.folder)
        self.sandboxes = []
        self.secrets = {}

    def prepare(self):
        for name, value in {
            "master-key": MASTER_KEY,
            "shop": self.url("shop"),
            "crm": self.url("crm"),
            "restores": self.url("postgres"),
            "of-others": "hunter2",
        }.items():
            made = self.aws.client("secretsmanager").create_secret(Name=name, SecretString=value)
            self.secrets[name] = made["ARN"]
        for name in ("shop", "crm"):
            bed("psql", "17", "--quiet", "--dbname=postgres", f"--command=DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            bed("psql", "17", "--quiet", "--dbname=postgres", f"--command=CREATE DATABASE {name}")
            rows = "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 2000) i"
            bed("psql", "17", "--quiet", f"--dbname={name}", f"--command={rows}")
        self.create()
        # Only Lambda itself may take these roles, so it is done before anybody looks.
        self.functions = {name: self.described(name) for name in FUNCTIONS}
        self.aws.close_the_gate()

    def url(self, database):
        return bed("url", "17", database).strip()

    def create(self):
        cloud = self.aws.client("cloudformation")
        self.aws.client("s3").create_bucket(Bucket=BUCKET_OF_OTHERS)
        self.aws.client("sns").create_topic(Name="topic-of-others")
        body = json.dumps(self.template)
        parameters = [{"ParameterKey": "Databases", "ParameterValue": "shop,crm"}]
        parameters += [{"ParameterKey": name, "ParameterValue": value} for name, value in {
            "DatabaseSecretArns": f"{self.secrets['shop']},{self.secrets['crm']}",
            "MasterKeySecretArn": self.secrets["master-key"],
            "RestoreSecretArn": self.secrets["restores"],
            # Everything here is on one server.
            "Settings": '[drill]\nallow_source = true\ntargets = { rto = "1h" }\n',
            "Architecture": "x86_64",
        }.items()]
        archive = self.folder / "code.zip"
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("bootstrap", "elsewhere")
        self.aws.client("s3").create_bucket(Bucket="code")
        self.aws.client("s3").upload_file(str(archive), "code", "code.zip")
        cloud.create_stack(StackName=STACK, TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])
        stack = cloud.describe_stacks(StackName=STACK)["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        found = cloud.describe_stack_resources(StackName=STACK)["StackResources"]
        # What the stand-in skips has no name.
        self.resources = {one.get("LogicalResourceId"): one.get("PhysicalResourceId") for one in found}
        self.bucket = self.resources["VaultBucket"]
        self.topic = self.resources["Alerts"]
        # The stand-in leaves that out.
        iam = self.aws.client("iam")
        for name in FUNCTIONS:
            iam.attach_role_policy(RoleName=self.resources[f"{name.title()}Role"], PolicyArn=self.resources["EveryFunction"])
        queue = self.aws.client("sqs").create_queue(QueueName="subscriber")["QueueUrl"]
        arn = self.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.aws.client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        self.queue = queue

    def described(self, name):
        found = self.aws.client("lambda").get_function_configuration(FunctionName=f"{STACK}-{name}")
        made = self.aws.client("sts").assume_role(RoleArn=found["Role"], RoleSessionName=name)["Credentials"]
        keys = {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }
        return {"variables": found["Environment"]["Variables"], "keys": keys}

    def keys(self, name):
        """Credentials of a function's role."""
        return self.functions[name]["keys"]

    def program(self, name):
        return self.programs / name / "bootstrap"

    def sandbox(self, name):
        environment = {
            **{key: str(value) for key, value in self.functions[name]["variables"].items()},
            **{key.upper(): value for key, value in self.keys(name).items()},
            "AWS_ENDPOINT_URL": self.aws.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "LIFEBOAT_PG_DUMP": self.pg_dump,
        }
        sandbox = Sandbox(f"{STACK}-{name}", self.program(name), environment, self.folder / f"{name}.log")
        self.sandboxes.append(sandbox)
        return sandbox

    def ask(self, name, event):
        """What the function answers, in a new sandbox."""
        sandbox = self.sandbox(name)
        try:
            return sandbox.invoke(event)
        finally:
            sandbox.stop()

    def answer(self, name, event):
        answer, error = self.ask(name, event)
        assert error is None, error
        return answer

    def refusal(self, name, event):
        answer, error = self.ask(name, event)
        assert error is not None, answer
        return error

    def messages(self):
        found = self.aws.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    def keys_below(self, prefix):
        listed = self.aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=f"lifeboat/{prefix}")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def rows(self, database):
        return int(bed("psql", "17", "--quiet", "--tuples-only", f"--dbname={database}", "--command=SELECT count(*) FROM orders"))

    def close(self):
        for sandbox in self.sandboxes:
            if sandbox.process.poll() is None:
                sandbox.stop()
        self.aws.process.kill()
        self.aws.process.wait()


def bed(*words):
    return subprocess.run([BED, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def matches(pattern, event):
    """EventBridge's matching, as far as the template uses it."""
    if isinstance(pattern, dict):
        return all(name in event and matches(wanted, event[name]) for name, wanted in pattern.items())
    return any(fnmatch.fnmatchcase(event, w["wildcard"]) if isinstance(w, dict) else w == event for w in pattern)


class Story(unittest.TestCase):
    def setUp(self):
        self.site = SITE

    def scheduled(self, schedule):
        """What the schedule of the template sends."""
        target = self.site.template["Resources"][schedule]["Properties"]["Target"]
        return json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-11-25T02:00:00Z"))

    def test_01_a_schedule_starts_an_invocation_for_each_database(self):
        answer = self.site.answer("backup", self.scheduled("DailySchedule"))
        self.assertEqual(answer, {"started": ["crm", "shop"], "job": "2026-11-25T02:00:00Z"})
        sent = [note for note in self.site.aws.noted() if "invoked" in note]
        self.assertEqual([note["invoked"] for note in sent], [f"{STACK}-backup"] * 2)
        for note in sent:
            made = self.site.answer("backup", note["event"])
            self.assertEqual((made["database"], made["rows"], made["skipped"]), (note["event"]["database"], 2000, []))
            again = self.site.answer("backup", note["event"])
            self.assertEqual(again["id"], made["id"])
            type(self).made = {**getattr(type(self), "made", {}), made["database"]: made["id"]}

    def published(self, key):
        event = json.loads((ROOT / "functions/validate/events/eventbridge.json").read_text())
        event["detail"]["bucket"]["name"], event["detail"]["object"]["key"] = self.site.bucket, key
        return event

    def test_02_its_manifest_matches_the_rule_and_becomes_a_verdict(self):
        rule = self.site.aws.client("events").describe_rule(Name=self.site.resources["BackupPublished"].split("/")[-1])
        pattern = json.loads(rule["EventPattern"])
        for database, backup in self.made.items():
            (key,) = [key for key in self.site.keys_below(f"databases/{database}/backups/") if backup in key]
            event = self.published(key)
            self.assertTrue(matches(pattern, event), key)
            self.assertTrue(self.site.answer("validate", event)["verified"][0]["ok"])
            (verdict,) = self.site.keys_below(f"databases/{database}/verdicts/{backup}/")
            self.assertTrue(verdict.endswith("-full-ok.json"), verdict)
        for other in (self.site.keys_below("databases/shop/pool/")[0], "lifeboat/format/1.json"):
            self.assertFalse(matches(pattern, self.published(other)), other)
        self.assertEqual(self.site.messages(), [])

    def test_03_the_drills_of_the_template_restore_on_the_server_for_that_and_are_kept(self):
        for name, drills in (("DrillSchedule", 1), ("MonthlyDrillSchedule", 2)):
            drilled = self.site.answer("validate", self.scheduled(name))["drilled"]
            self.assertEqual([drill["ok"] for drill in drilled], [True] * drills, name)
            for drill in drilled:
                (report,) = self.site.keys_below(drill["record"]["object"])
                self.assertIn(drill["backup"], report)

    def test_04_a_new_database_is_restored_at_once_and_an_old_one_with_the_token_of_its_plan(self):
        bed("psql", "17", "--quiet", "--dbname=postgres", "--command=DROP DATABASE IF EXISTS shop_copy")
        copy = self.site.answer("restore", {"id": "latest", "database": "shop", "into": "shop_copy"})
        self.assertTrue(copy["proof"]["ok"])
        self.assertEqual(self.site.rows("shop_copy"), 2000)
        bed("psql", "17", "--quiet", "--dbname=shop", "--command=DELETE FROM orders WHERE id > 5")
        event = {"id": self.made["shop"], "database": "shop", "into": "shop", "clean": True}
        planned = self.site.answer("restore", event)
        self.assertEqual((planned["plan"]["action"], self.site.rows("shop")), ("replace", 5))
        for token in ("r1.0.00", planned["token"][:-1] + ("0" if planned["token"][-1] != "0" else "1")):
            refused = self.site.refusal("restore", {**event, "token": token})
            self.assertEqual(refused["errorType"], "confirmation_needed")
        self.assertEqual(self.site.rows("shop"), 5)
        confirmed = {**event, "token": planned["token"]}
        self.assertTrue(self.site.answer("restore", confirmed)["proof"]["ok"])
        self.assertEqual(self.site.rows("shop"), 2000)
        self.assertEqual(self.site.refusal("restore", confirmed)["errorType"], "confirmation_needed")

    def test_05_cleanup_and_watch_look_at_all_of_it(self):
        kept = self.site.answer("cleanup", {**self.scheduled("CleanupSchedule"), "dry_run": True})
        # Two daily backups, and the safety backup of what was replaced.
        outcomes = [one["outcome"] for database in kept["databases"] for one in database["decisions"]]
        self.assertEqual(outcomes, ["keep"] * 3)
        watched = self.site.answer("watch", self.scheduled("WatchSchedule"))["databases"]
        self.assertEqual([one["database"] for one in watched], ["crm", "shop"])
        self.assertTrue(all(one["last_verified_at"] and not one["late"] for one in watched), watched)

    def test_06_so_far_nobody_was_refused_anything(self):
        refused = [note for note in self.site.aws.noted() if note.get("allowed") is False]
        self.assertEqual(refused, [])
        used = {}
        for note in self.site.aws.noted():
            if "caller" in note and "assumed-role" in note["caller"]:
                used.setdefault(note["caller"].split("/")[-1], set()).add(note["action"])
        reads = {"s3:ListBucket", "s3:GetObject", "secretsmanager:GetSecretValue"}
        expected = {
            "backup": reads | {"s3:PutObject", "lambda:InvokeFunction"},
            "validate": reads | {"s3:PutObject"},
            "cleanup": reads,
            "restore": reads | {"s3:PutObject"},
            "watch": reads,
        }
        self.assertEqual(used, expected)

    def test_07_a_damaged_pack_is_an_alert(self):
        s3 = self.site.aws.client("s3")
        packs = self.site.keys_below("databases/crm/pool/")
        pack = max(packs, key=lambda key: s3.head_object(Bucket=self.site.bucket, Key=key)["ContentLength"])
        content = bytearray(s3.get_object(Bucket=self.site.bucket, Key=pack)["Body"].read())
        content[len(content) // 2] ^= 1
        s3.put_object(Bucket=self.site.bucket, Key=pack, Body=bytes(content))
        refused = self.site.refusal("validate", {"id": self.made["crm"], "database": "crm", "depth": "full"})
        self.assertEqual(refused["errorType"], "verification_failed")
        (message,) = self.site.messages()
        self.assertEqual(message["Subject"], f"[CRITICAL] {STACK}: verification of crm failed: verification failed")
        told = json.loads(message["Message"])
        self.assertEqual((told["kind"], told["database"], told["backup"]), ("verification_failed", "crm", self.made["crm"]))
        self.assertIn(pack.split("/")[-1], told["text"])
        self.assertEqual(message["MessageAttributes"]["severity"]["Value"], "critical")

    def test_08_without_its_policy_a_function_can_do_nothing(self):
        iam = self.site.aws.client("iam")
        policy = {"RoleName": self.site.resources["ValidateRole"], "PolicyArn": self.site.resources["EveryFunction"]}
        event = {"id": self.made["shop"], "database": "shop", "depth": "quick"}
        iam.detach_role_policy(**policy)
        try:
            refused = self.site.refusal("validate", event)
            self.assertIn("grant secretsmanager:GetSecretValue", refused["errorMessage"])
        finally:
            iam.attach_role_policy(**policy)
        self.site.answer("validate", event)

    def test_09_what_a_role_may_not_do_is_refused(self):
        site, ours = self.site, self.site.bucket
        pack, manifest = self.site.keys_below("databases/shop/pool/")[0], self.site.keys_below("databases/shop/backups/")[0]

        def put(key, bucket=ours):
            return "s3:PutObject", lambda client: client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")

        def delete(key, bucket=ours):
            return "s3:DeleteObject", lambda client: client("s3").delete_object(Bucket=bucket, Key=key)

        def read(name):
            secret = site.secrets[name]
            return "secretsmanager:GetSecretValue", lambda client: client("secretsmanager").get_secret_value(SecretId=secret)

        def invoke(name):
            function = f"{STACK}-{name}"
            return "lambda:InvokeFunction", lambda client: client("lambda").invoke(FunctionName=function, Payload=b"{}")

        topic_of_others = site.topic.replace(site.topic.split(":")[-1], "topic-of-others")
        everybody = {
            "read another bucket": ("s3:GetObject", lambda client: client("s3").get_object(Bucket=BUCKET_OF_OTHERS, Key="x")),
            "list another bucket": ("s3:ListBucket", lambda client: client("s3").list_objects_v2(Bucket=BUCKET_OF_OTHERS)),
            "write to another bucket": put("x", BUCKET_OF_OTHERS),
            "delete in another bucket": delete("x", BUCKET_OF_OTHERS),
            "write beside the vault": put("elsewhere/x"),
            "delete beside the vault": delete("elsewhere/x"),
            "change the bucket's policy": (
                "s3:PutBucketPolicy", lambda client: client("s3").put_bucket_policy(Bucket=ours, Policy="{}")
            ),
            "change the lifecycle": (
                "s3:PutLifecycleConfiguration", lambda client: client("s3").delete_bucket_lifecycle(Bucket=ours)
            ),
            "tell another topic": (
                "sns:Publish", lambda client: client("sns").publish(TopicArn=topic_of_others, Message="x")
            ),
            "read another secret": read("of-others"),
            "change a secret": (
                "secretsmanager:PutSecretValue",
                lambda client: client("secretsmanager").put_secret_value(SecretId=site.secrets["shop"], SecretString="x"),
            ),
            "make a user": ("iam:CreateUser", lambda client: client("iam").create_user(UserName="x")),
            "change its own role": (
                "iam:PutRolePolicy",
                lambda client: client("iam").put_role_policy(
                    RoleName=site.resources["BackupRole"], PolicyName="x", PolicyDocument="{}"
                ),
            ),
            "start restore": invoke("restore"),
        }
        nothing_new = {"write a pack": put(pack), "write a manifest": put(manifest)}
        no_deleting = {"delete a pack": delete(pack), "delete a manifest": delete(manifest)}
        no_databases = {"read shop's secret": read("shop"), "read crm's secret": read("crm")}
        no_restores = {"read the secret for restores": read("restores")}
        no_backups = {"start backup": invoke("backup")}
        forbidden = {
            "backup": {**no_deleting, **no_restores, "start cleanup": invoke("cleanup")},
            "validate": {**nothing_new, **no_deleting, **no_databases, **no_backups},
            "cleanup": {
                **nothing_new, **no_databases, **no_restores, **no_backups, "delete the format": delete("lifeboat/format/1.json"),
                "delete a key": delete("lifeboat/databases/shop/keyring/x"),
            },
            "restore": {**no_deleting, **no_databases, **no_backups, "write the format": put("lifeboat/format/2.json")},
            "watch": {
                **nothing_new, **no_deleting, **no_databases, **no_restores, **no_backups,
                "write a verdict": put("lifeboat/databases/shop/verdicts/x"),
            },
        }
        for name, own in forbidden.items():
            keys = site.keys(name)
            client = lambda service: site.aws.client(service, keys)  # noqa: E731
            for what, (action, call) in {**everybody, **own}.items():
                with self.subTest(f"{name}: {what}"):
                    before = len(site.aws.noted())
                    with self.assertRaises(ClientError) as refused:
                        call(client)
                    self.assertEqual(refused.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)
                    # For want of that right, and not because something else is wrong with the call.
                    (decision,) = site.aws.noted()[before:]
                    caller = decision["caller"].split("/")[-1]
                    self.assertEqual((caller, decision["action"], decision["allowed"]), (name, action, False))

    def test_10_no_secret_is_in_a_log(self):
        secrets = [MASTER_KEY, SITE.server["password"], "hunter2"]
        for name in FUNCTIONS:
            log = (SITE.folder / f"{name}.log").read_text()
            self.assertTrue(log, name)
            self.assertEqual([secret for secret in secrets if secret in log], [], name)
            for line in log.splitlines():
                json.loads(line)

    def test_11_what_is_packed_is_this_and_is_small(self):
        if self.site.build is None:
            self.skipTest("these programs are not what is deployed")
        built = yaml.safe_load((self.site.build / "template.yaml").read_text())["Resources"]
        for name in FUNCTIONS:
            program = self.site.program(name)
            packs = self.site.build / built[f"{name.title()}Function"]["Properties"]["CodeUri"] / "bootstrap"
            self.assertEqual(packs.resolve(), program)
            packed = self.site.folder / f"{name}.zip"
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as code:
                code.write(program, "bootstrap")
            starts = []
            for _ in range(STARTS):
                sandbox = self.site.sandbox(name)
                starts.append(sandbox.init_ms())
                sandbox.stop()
            sizes = f"{program.stat().st_size / 1e6:.1f} MB, zipped {packed.stat().st_size / 1e6:.1f} MB"
            print(f"{name:9} {sizes}; asks for its first event after {statistics.median(starts):.0f} ms (median of {STARTS})")
            self.assertLess(packed.stat().st_size, MAX_ZIP_BYTES, name)


if __name__ == "__main__":
    SITE = Site(*sys.argv[1:])
    try:
        SITE.prepare()
        passed = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2, failfast=True).result.wasSuccessful()
    finally:
        SITE.close()
    if not passed:
        sys.exit(f"what was logged is in {SITE.folder}")
    shutil.rmtree(SITE.folder)
